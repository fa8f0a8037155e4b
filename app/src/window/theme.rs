//! Every color and size of the window.
//!
//! Sources and curves have one fixed color each (Okabe and Ito's eight, told apart by most color-blind readers), the same in the
//! timeline, the curves, the trajectory, the buttons and the exported figure. Panels hold no literal colors or sizes.

use eframe::egui::{self, Color32};
use egui_plot::LineStyle;

use super::curves::Line;
use super::source::Source;
use driftscope_core::figure::{Stroke, palette};
use driftscope_core::rollout::StepAction;

const fn rgb([r, g, b]: palette::Rgb) -> Color32 {
    Color32::from_rgb(r, g, b)
}

/// Between the wrong direction and the true one.
const OFF_ANGLE: Color32 = Color32::from_rgb(150, 120, 205);
/// Parts of the rollout.
const SPLICE: Color32 = Color32::from_rgb(232, 154, 106);
const YELLOW: Color32 = rgb(palette::YELLOW);
const BLUE: Color32 = rgb(palette::BLUE);
const VERMILLION: Color32 = rgb(palette::VERMILLION);
const REDDISH_PURPLE: Color32 = rgb(palette::REDDISH_PURPLE);

/// Size of the window at first start.
pub const WINDOW_SIZE: [f32; 2] = [1280.0, 800.0];
/// Below this the panels would cover each other.
pub const SMALLEST_WINDOW: [f32; 2] = [960.0, 640.0];
/// Radians that the trajectory turns for each point of dragging.
pub const TURN_PER_POINT: f32 = 0.01;
/// Yaw and pitch from which the trajectory is seen at first.
pub const FIRST_ORBIT: [f32; 2] = [0.5, 0.35];
/// From how far and how near the trajectory can be seen.
pub const NEARNESS: [f32; 2] = [0.2, 20.0];
/// Size of the color scale beside the trajectory.
pub const SCALE_SIZE: [f32; 2] = [48.0, 8.0];
/// Length of the trajectory's axes, as a share of the view's radius.
pub const AXIS_SHARE: f32 = 0.7;
/// Space between groups of widgets, points.
pub const GAP: f32 = 8.0;
/// Width of the library on the left.
pub const LIBRARY_WIDTH: f32 = 204.0;
/// Width of the inspector on the right.
pub const INSPECTOR_WIDTH: f32 = 222.0;
/// Width of the lane names at the left of the timeline.
pub const LANE_NAME_WIDTH: f32 = 74.0;
/// Height of the transport.
pub const TRANSPORT_HEIGHT: f32 = 30.0;
/// Side of the sign that opens a definition.
pub const INFO_SIZE: f32 = 11.0;
/// Height of the time ruler.
pub const RULER_HEIGHT: f32 = 18.0;
/// Height of the strip of steps.
pub const STEP_STRIP_HEIGHT: f32 = 20.0;
/// Share of a lane's height that its waveform takes; the spectrogram has the rest.
pub const WAVE_SHARE: f32 = 0.38;
/// Amplitude that fills a lane's height when nothing is louder.
pub const QUIETEST_FULL_HEIGHT: f32 = 0.01;
/// Points between the marks of an axis below which labels fade out; the marks are chosen to stay apart, so nearly never.
pub const LABEL_SPACING: [f32; 2] = [8.0, 10.0];
/// Points of height for each label of a y axis.
pub const Y_LABEL_PITCH: f32 = 21.0;
/// Points of width for each label of an x axis.
pub const X_LABEL_PITCH: f32 = 46.0;
/// Height of an x axis with its label, and width of a y axis with labels of a few digits: reserved from the first frame on.
pub const AXIS_SIZE: [f32; 2] = [34.0, 38.0];
/// Width of a y axis that has a label, too.
pub const LABELLED_Y_AXIS: f32 = 50.0;
/// The narrowest trajectory plot.
pub const SMALLEST_PLANE: f32 = 180.0;
/// Space between lanes.
pub const LANE_GAP: f32 = 4.0;
/// Share of the center's height for the timeline.
pub const TIMELINE_SHARE: f32 = 0.46;
/// Share of the center's height for the curves.
pub const CURVES_SHARE: f32 = 0.29;
/// Share of the center's height for the tabs below.
pub const TABS_SHARE: f32 = 0.27;
/// Height of a row of tabs.
pub const TAB_HEIGHT: f32 = 20.0;
/// The smallest pane.
pub const SMALLEST_PANE: f32 = 60.0;
/// Seconds without a change after which undo takes a choice for one of its own.
pub const UNDO_SETTLES_SEC: f32 = 0.4;
/// Least and greatest scale of everything.
pub const SCALES: [f32; 2] = [0.5, 4.0];
/// The shortest stretch of time that fills the timeline.
pub const LEAST_SECONDS: f64 = 0.1;
/// Growth of a zoom for each point of scrolling, as an exponent.
pub const ZOOM_PER_POINT: f32 = 0.005;
/// Height of the bar that shows what repeats.
pub const LOOP_BAR_HEIGHT: f32 = 6.0;
/// Its opacity.
pub const LOOP_OPACITY: f32 = 0.5;
/// Width of the palette, and height of its list.
pub const PALETTE_WIDTH: f32 = 460.0;
/// Height of the palette's list.
pub const PALETTE_HEIGHT: f32 = 360.0;
/// Rows that the palette shows at most.
pub const PALETTE_ROWS: usize = 60;
/// Share of the window's width that a sentence may take.
pub const NOTICE_SHARE: f32 = 0.7;
/// Width of a question.
pub const DIALOG_WIDTH: f32 = 380.0;
/// Share of the window that a figure in preparation takes.
pub const DIALOG_SHARE: f32 = 0.86;
/// Width of its settings.
pub const FIGURE_SETTINGS_WIDTH: f32 = 250.0;
/// Width of the dialog that prepares a listening test.
pub const BLIND_WIDTH: f32 = 560.0;
/// Its column of names.
pub const BLIND_NAMES_WIDTH: f32 = 110.0;
/// Widest column of the listening room.
pub const ROOM_WIDTH: f32 = 760.0;
/// Space between its parts.
pub const ROOM_GAP: f32 = 28.0;
/// Its text.
pub const ROOM_TEXT: f32 = 16.0;
/// Its headings.
pub const ROOM_HEADING: f32 = 22.0;
/// Its buttons.
pub const ROOM_BUTTON: [f32; 2] = [132.0, 56.0];
/// Those above sliders.
pub const ROOM_NARROW_BUTTON: [f32; 2] = [76.0, 44.0];
/// Height of the sliders of ratings.
pub const RATING_HEIGHT: f32 = 300.0;
/// Room for the names of their scale.
pub const SCALE_NAMES_WIDTH: f32 = 190.0;
/// Width of a progress bar.
pub const PROGRESS_WIDTH: f32 = 160.0;
/// Width that four plots beside each other need.
pub const WIDTH_OF_FOUR: f32 = 760.0;
/// Width below which the top row says only what it must.
pub const WIDTH_OF_STATUS: f32 = 900.0;
/// Share of the comparison that its table takes.
pub const TABLE_SHARE: f32 = 0.34;
/// The narrowest table.
pub const SMALLEST_TABLE: f32 = 290.0;
/// Distance within which the pointer is on a curve.
pub const HOVER_REACH: f32 = 14.0;
/// Opacity of the curves beside the one under the pointer.
pub const DIMMED_OPACITY: f32 = 0.45;
/// How much thicker a curve under the pointer is.
pub const HOVER_WIDTH: f32 = 1.8;
/// Distance within which a point of a trajectory is grabbed.
pub const GRAB_REACH: f32 = 12.0;
/// Half width of the region in which the start can be grabbed.
pub const HANDLE_REACH: f32 = 6.0;
/// Size of small text.
pub const SMALL_TEXT: f32 = 10.5;
/// Size of ordinary text.
pub const TEXT: f32 = 12.5;
/// Space above and below the curves, as a share of their range.
pub const PLOT_MARGIN: f64 = 0.08;
/// Room that the spread of single starts may take above and below the curves, as a share of their range.
pub const SPREAD_ROOM: f64 = 0.6;
/// The same for curves without a range, in the axis's unit.
pub const SMALLEST_MARGIN: f64 = 0.02;
/// Width of curves of averages.
pub const CURVE_WIDTH: f32 = 1.6;
/// Width of the live curve.
pub const LIVE_WIDTH: f32 = 1.8;
/// Width of reference lines.
pub const REFERENCE_WIDTH: f32 = 1.2;
/// Width of cursor and start lines.
pub const CURSOR_WIDTH: f32 = 1.5;
/// Radius of the markers of single steps.
pub const MARKER_RADIUS: f32 = 2.6;
/// Radius of the marker at the cursor.
pub const CURSOR_RADIUS: f32 = 5.0;
/// Side of a color swatch.
pub const SWATCH: f32 = 10.0;
/// Width of a dash pattern's period.
pub const DASH: f32 = 6.0;
/// Opacity of shaded bands.
pub const BAND_OPACITY: f32 = 0.16;
/// Opacity of what is being computed anew.
pub const STALE_OPACITY: f32 = 0.35;
/// Decibels below the loudest that the spectrogram shows.
pub const SPECTROGRAM_RANGE_DB: f32 = 70.0;
/// Standard deviations at which a latent is fully colored.
pub const LATENT_RANGE: f32 = 3.0;
/// Decibels at which the difference is fully colored.
pub const DIFFERENCE_RANGE_DB: f32 = 30.0;

/// Colors of a scale's ends: near and far, early and late.
pub const SCALE_ENDS: [Color32; 2] = [BLUE, VERMILLION];

/// Text and lines that stand out against the background.
pub fn ink(visuals: &egui::Visuals) -> Color32 {
    visuals.strong_text_color()
}

/// Reference marks that should stay behind the data.
pub fn faint(visuals: &egui::Visuals) -> Color32 {
    visuals.weak_text_color()
}

/// Fill of a painted step.
pub fn action_color(action: StepAction, visuals: &egui::Visuals) -> Color32 {
    match action {
        StepAction::Own => Color32::TRANSPARENT,
        StepAction::Truth => ink(visuals),
        StepAction::Noise => REDDISH_PURPLE,
        StepAction::Freeze => BLUE,
    }
}

/// What a step's action is called.
pub fn action_name(action: StepAction) -> &'static str {
    match action {
        StepAction::Own => "own",
        StepAction::Truth => "truth",
        StepAction::Noise => "noise",
        StepAction::Freeze => "freeze",
    }
}

/// What it does.
pub fn action_hint(action: StepAction) -> &'static str {
    match action {
        StepAction::Own => "The rollout keeps its own frame.",
        StepAction::Truth => "The true frame is put back after this step.",
        StepAction::Noise => "The state moves by a random step as long as a true one.",
        StepAction::Freeze => "The state stays where it was.",
    }
}

/// Color of errors and warnings.
pub fn warning() -> Color32 {
    VERMILLION
}

/// Sampled rollouts on paper: the rollout's color, faint.
pub const FAN_ON_PAPER: palette::Rgb = [238, 196, 164];

/// Colors of branches and compared predictors, in the order of their numbers: Tol's muted scheme, less what looks like one of the fixed
/// colors or is too dark for a dark ground.
const KEPT: [palette::Rgb; 7] =
    [[170, 68, 153], [136, 204, 238], [153, 153, 51], [221, 204, 119], [136, 34, 85], [68, 170, 153], [17, 119, 51]];

fn kept(number: usize) -> palette::Rgb {
    KEPT[number % KEPT.len()]
}

/// The one color of a source.
pub fn source_color(source: Source, visuals: &egui::Visuals) -> Color32 {
    match source {
        Source::OffAngle => OFF_ANGLE,
        Source::Splice(_) => SPLICE,
        Source::Branch(id) => rgb(line_rgb(Line::Branch(id))),
        Source::Comparand(c) => rgb(line_rgb(Line::Comparand(c))),
        Source::Truth | Source::Original => ink(visuals),
        Source::Rollout => VERMILLION,
        Source::Slow75 => rgb(palette::SLOW[0]),
        Source::Slow50 => rgb(palette::SLOW[1]),
        Source::Slow25 => rgb(palette::SLOW[2]),
        Source::WrongDirection => REDDISH_PURPLE,
        Source::Stationary => YELLOW,
    }
}

/// The one color of a curve. Averages are in color; the live rollout, a single start, and the skyline are in ink.
pub fn line_color(line: Line, visuals: &egui::Visuals) -> Color32 {
    if matches!(line, Line::Live | Line::Skyline) { ink(visuals) } else { rgb(line_rgb(line)) }
}

/// The same on paper.
pub fn line_rgb(line: Line) -> palette::Rgb {
    use palette::{BLACK, BLUE, BLUISH_GREEN, GRAY, LIGHT_GRAY, ORANGE, VERMILLION};
    match line {
        Line::Teacher => BLUE,
        Line::Periodic => BLUISH_GREEN,
        Line::OneShot => ORANGE,
        Line::Free => VERMILLION,
        Line::Live | Line::Skyline => BLACK,
        Line::Null | Line::Ridge | Line::Persistence | Line::Climatology | Line::Sqrt2Sigma => GRAY,
        Line::Chance | Line::One | Line::Zero => LIGHT_GRAY,
        Line::Branch(id) => kept((id as usize).saturating_sub(1)),
        Line::Comparand(c) => kept(c.store * 3 + c.predictor + 3),
    }
}

/// Line pattern on screen.
pub fn line_style(stroke: Stroke) -> LineStyle {
    match stroke {
        Stroke::Solid => LineStyle::Solid,
        Stroke::Dashed => LineStyle::Dashed { length: DASH },
        Stroke::ShortDashed => LineStyle::Dashed { length: DASH * 0.4 },
        Stroke::Dotted => LineStyle::Dotted { spacing: DASH * 0.7 },
    }
}

/// Loudness `0 ..= 1` to color: black, blue, vermillion, yellow, white, with rising lightness.
pub fn heat(level: f32) -> Color32 {
    const STOPS: [[f32; 3]; 6] =
        [[4.0, 4.0, 12.0], [22.0, 32.0, 90.0], [110.0, 40.0, 120.0], [213.0, 94.0, 0.0], [245.0, 200.0, 70.0], [255.0, 252.0, 230.0]];
    ramp(&STOPS, level)
}

/// Signed difference `-1 ..= 1` to color: blue below, vermillion above, `background` at zero.
pub fn difference(level: f32, background: Color32) -> Color32 {
    let toward = if level < 0.0 { BLUE } else { VERMILLION };
    background.lerp_to_gamma(toward, level.abs().min(1.0))
}

/// 256 colors of a scale from 0 to 1, for print.
pub fn colors(of: impl Fn(f32) -> Color32) -> Vec<[u8; 3]> {
    (0..256)
        .map(|i| {
            let [r, g, b, _] = of(i as f32 / 255.0).to_array();
            [r, g, b]
        })
        .collect()
}

fn ramp(stops: &[[f32; 3]], level: f32) -> Color32 {
    let place = level.clamp(0.0, 1.0) * (stops.len() - 1) as f32;
    let (i, f) = ((place as usize).min(stops.len() - 2), place - (place as usize).min(stops.len() - 2) as f32);
    let channel = |c: usize| (stops[i][c] + (stops[i + 1][c] - stops[i][c]) * f) as u8;
    Color32::from_rgb(channel(0), channel(1), channel(2))
}

/// Sets font, text sizes and spacing in both themes.
pub fn install(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    ctx.all_styles_mut(|style| {
        use egui::{FontId, TextStyle};
        style.text_styles.insert(TextStyle::Body, FontId::proportional(TEXT));
        style.text_styles.insert(TextStyle::Button, FontId::proportional(TEXT));
        style.text_styles.insert(TextStyle::Small, FontId::proportional(SMALL_TEXT));
        style.text_styles.insert(TextStyle::Heading, FontId::proportional(TEXT + 2.0));
        style.text_styles.insert(TextStyle::Monospace, FontId::monospace(TEXT - 1.0));
        style.spacing.item_spacing = egui::vec2(GAP * 0.75, GAP * 0.5);
        style.interaction.tooltip_delay = 0.2;
    });
}

/// The figures' font first (it has the formulas' signs), egui's own behind it.
fn fonts() -> egui::FontDefinitions {
    let mut fonts = egui::FontDefinitions::default();
    let inter = egui::FontData::from_static(include_bytes!("../../../assets/fonts/Inter-Regular.otf"));
    fonts.font_data.insert("inter".into(), std::sync::Arc::new(inter));
    fonts.families.entry(egui::FontFamily::Proportional).or_default().insert(0, "inter".into());
    fonts.families.entry(egui::FontFamily::Monospace).or_default().push("inter".into());
    fonts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loudness_rises_with_lightness() {
        let lightness = |level: f32| heat(level).intensity();
        let levels: Vec<f32> = (0..=20).map(|i| lightness(i as f32 / 20.0)).collect();
        assert!(levels.windows(2).all(|w| w[1] >= w[0]), "{levels:?}");
    }

    #[test]
    fn no_difference_is_background() {
        assert_eq!(difference(0.0, Color32::WHITE), Color32::WHITE);
        assert_eq!(difference(9.0, Color32::WHITE), VERMILLION);
    }
}
