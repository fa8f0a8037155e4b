//! Okabe and Ito's colors, told apart by most color-blind readers, and what each is used for. One thing has one color everywhere.

/// sRGB.
pub type Rgb = [u8; 3];

/// Text and truth.
pub const BLACK: Rgb = [0x00, 0x00, 0x00];
/// Mode C.
pub const ORANGE: Rgb = [0xE6, 0x9F, 0x00];
/// Slowed modes.
pub const SKY_BLUE: Rgb = [0x56, 0xB4, 0xE9];
/// Slowed modes .75, .50 and .25: one hue, fainter with less of the magnitude.
pub const SLOW: [Rgb; 3] = [[0x1F, 0x86, 0xC9], SKY_BLUE, [0xA6, 0xDA, 0xF7]];
/// Mode B.
pub const BLUISH_GREEN: Rgb = [0x00, 0x9E, 0x73];
/// The stationary mode.
pub const YELLOW: Rgb = [0xF0, 0xE4, 0x42];
/// Mode A.
pub const BLUE: Rgb = [0x00, 0x72, 0xB2];
/// Mode D: the rollout.
pub const VERMILLION: Rgb = [0xD5, 0x5E, 0x00];
/// Wrong directions.
pub const REDDISH_PURPLE: Rgb = [0xCC, 0x79, 0xA7];
/// Reference lines.
pub const GRAY: Rgb = [0x80, 0x80, 0x80];
/// Levels: chance, zero, one.
pub const LIGHT_GRAY: Rgb = [0xB4, 0xB4, 0xB4];
