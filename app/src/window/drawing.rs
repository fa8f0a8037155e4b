//! What is drawn through core's shaders, kept as long as it looks the same.
//!
//! Spectrograms and trajectories are uploaded when their data, size or theme change and painted from there in every frame. Without
//! a device that can run the shaders, spectrograms become textures and trajectories stay in the plots beside.

use std::collections::BTreeMap;
use std::sync::Arc;

use driftscope_core::engine::display::Prepared;
use driftscope_core::engine::display::spectrogram::View;
use driftscope_core::engine::display::trajectory::{Orbit, Path};
use eframe::egui::{self, Color32, Rect, pos2};

use super::export::Preview;
use super::gpu::{Gpu, callback, size_px};
use super::picture::Spectrogram;
use super::source::Source;
use super::theme;
use super::worker::{Rolled, Sound};

/// A sound's own levels, or those against the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Its own.
    Sound,
    /// Less the truth's.
    Difference,
}

/// Levels that a buffer of any adapter holds (128 MiB); longer sounds become textures.
const MOST_IN_A_BUFFER: usize = 32 << 20;

/// Everything that was uploaded.
#[derive(Default)]
pub struct Drawings {
    gpu: Option<Gpu>,
    levels: BTreeMap<(Source, Layer), Levels>,
    space: Option<Space>,
    figure: Option<(Arc<Preview>, egui::TextureHandle)>,
    latents: BTreeMap<usize, (Arc<Rolled>, bool, egui::TextureHandle)>,
}

struct Levels {
    sound: Arc<Sound>,
    dark: bool,
    size_px: [f32; 2],
    part: [f64; 2],
    drawn: Drawn,
}

enum Drawn {
    Shader(Arc<Prepared>),
    Texture(egui::TextureHandle),
}

struct Space {
    paths: Vec<Path>,
    orbit: Orbit,
    size_px: [f32; 2],
    prepared: Arc<Prepared>,
}

impl std::fmt::Debug for Drawings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Drawings({} spectrograms)", self.levels.len())
    }
}

impl Drawings {
    /// With the device of eframe's renderer, where there is one.
    pub fn new(render_state: Option<&eframe::egui_wgpu::RenderState>) -> Self {
        Self { gpu: render_state.and_then(Gpu::new), ..Self::default() }
    }

    /// Paths can be drawn in space.
    pub fn has_space(&self) -> bool {
        self.gpu.is_some()
    }

    /// Draws the `part` (shares of its length) of a sound's spectrogram, or of its difference from the truth, into `area`.
    pub fn spectrogram(&mut self, ui: &egui::Ui, area: Rect, sound: &Arc<Sound>, layer: Layer, part: [f64; 2]) {
        let Some(spectrogram) = spectrogram(sound, layer) else { return };
        let (dark, size_px) = (ui.visuals().dark_mode, size_px(area, ui.ctx()));
        let key = (sound.source, layer);
        let same = |kept: &&Levels| {
            // A texture holds all of it; the shader was told which part to draw, and how large.
            let same_place = (kept.size_px == size_px && kept.part == part) || matches!(kept.drawn, Drawn::Texture(_));
            kept.dark == dark && same_place && Arc::ptr_eq(&kept.sound, sound)
        };
        if self.levels.get(&key).as_ref().is_none_or(|x| !same(x)) {
            let background = ui.visuals().extreme_bg_color;
            // Zoomed out, the shader shows the loudest of the cells under a pixel, which is right for levels and would hide
            // negative differences; those are filtered as a texture.
            let drawn = match self.gpu.as_ref().filter(|_| layer == Layer::Sound && spectrogram.db.len() <= MOST_IN_A_BUFFER) {
                Some(gpu) => Drawn::Shader(Arc::new(gpu.spectrogram.prepare(
                    &gpu.device,
                    &spectrogram.db,
                    spectrogram.n_bins,
                    &View {
                        frames: part[0] as f32 * spectrogram.n_frames as f32..part[1] as f32 * spectrogram.n_frames as f32,
                        ..view(spectrogram, layer, background)
                    },
                    size_px,
                ))),
                None => Drawn::Texture(ui.ctx().load_texture(
                    format!("{key:?}"),
                    image(spectrogram, &view(spectrogram, layer, background), layer == Layer::Difference, widest(ui)),
                    egui::TextureOptions::LINEAR,
                )),
            };
            self.levels.insert(key, Levels { sound: Arc::clone(sound), dark, size_px, part, drawn });
        }
        match self.levels.get(&key).map(|kept| &kept.drawn) {
            Some(Drawn::Shader(prepared)) => drop(ui.painter().add(callback(area, prepared))),
            Some(Drawn::Texture(texture)) => {
                let shown = Rect::from_min_max(pos2(part[0] as f32, 0.0), pos2(part[1] as f32, 1.0));
                ui.painter().image(texture.id(), area, shown, Color32::WHITE);
            }
            None => {}
        }
    }

    /// Draws the `part` (shares of its length) of one of a rollout's latent pictures into `area`.
    pub fn latents(&mut self, ui: &egui::Ui, area: Rect, rolled: &Arc<Rolled>, which: usize, part: [f64; 2]) {
        let Some(picture) = rolled.latent_pictures.get(which) else { return };
        let dark = ui.visuals().dark_mode;
        let kept = self.latents.get(&which).filter(|(of, is_dark, _)| Arc::ptr_eq(of, rolled) && *is_dark == dark);
        let load = || {
            let ground = ui.visuals().extreme_bg_color;
            let mut colors = [[0; 4]; 256];
            colors.iter_mut().enumerate().for_each(|(i, c)| *c = theme::difference(i as f32 / 127.5 - 1.0, ground).to_array());
            let s = &picture.spectrogram;
            let view = View::whole(s.n_frames, s.n_bins, -theme::LATENT_RANGE..theme::LATENT_RANGE, colors);
            ui.ctx().load_texture(format!("latents {which}"), image(s, &view, true, widest(ui)), egui::TextureOptions::NEAREST)
        };
        let texture = kept.map_or_else(load, |(_, _, texture)| texture.clone());
        self.latents.insert(which, (Arc::clone(rolled), dark, texture.clone()));
        let shown = Rect::from_min_max(pos2(part[0] as f32, 0.0), pos2(part[1] as f32, 1.0));
        ui.painter().image(texture.id(), area, shown, Color32::WHITE);
    }

    /// The texture of a figure in preparation.
    pub fn figure(&mut self, ui: &egui::Ui, preview: &Arc<Preview>, image: &egui::ColorImage) -> egui::TextureHandle {
        let kept = self.figure.as_ref().filter(|(of, _)| Arc::ptr_eq(of, preview));
        if let Some((_, texture)) = kept {
            return texture.clone();
        }
        let texture = ui.ctx().load_texture("figure", image.clone(), egui::TextureOptions::LINEAR);
        self.figure = Some((Arc::clone(preview), texture.clone()));
        texture
    }

    /// Draws `paths` as seen from `orbit` into `area`; uploaded only when they differ from those before.
    pub fn space(&mut self, ui: &egui::Ui, area: Rect, orbit: Orbit, paths: Vec<Path>) {
        let Some(gpu) = &self.gpu else { return };
        let size_px = size_px(area, ui.ctx());
        let same = |s: &Space| s.size_px == size_px && s.orbit == orbit && s.paths == paths;
        if !self.space.as_ref().is_some_and(same) {
            let prepared = Arc::new(gpu.trajectory.prepare(&gpu.device, &paths, &orbit, size_px));
            self.space = Some(Space { paths, orbit, size_px, prepared });
        }
        if let Some(space) = &self.space {
            ui.painter().add(callback(area, &space.prepared));
        }
    }
}

fn spectrogram(sound: &Sound, layer: Layer) -> Option<&Spectrogram> {
    match layer {
        Layer::Sound => Some(&sound.picture.spectrogram),
        Layer::Difference => sound.difference.as_ref().map(|d| &d.spectrogram),
    }
}

/// Levels and colors: loudness below the loudest, or signed decibels around the background.
fn view(spectrogram: &Spectrogram, layer: Layer, background: Color32) -> View {
    let table = |color: &dyn Fn(f32) -> Color32| {
        let mut colors = [[0; 4]; 256];
        colors.iter_mut().enumerate().for_each(|(i, c)| *c = color(i as f32 / 255.0).to_array());
        colors
    };
    let (range_db, colors) = match layer {
        Layer::Sound => {
            let loudest = spectrogram.db.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            (loudest - theme::SPECTROGRAM_RANGE_DB..loudest, table(&theme::heat))
        }
        Layer::Difference => {
            let color = |level: f32| theme::difference(2.0 * level - 1.0, background);
            (-theme::DIFFERENCE_RANGE_DB..theme::DIFFERENCE_RANGE_DB, table(&color))
        }
    };
    View::whole(spectrogram.n_frames, spectrogram.n_bins, range_db, colors)
}

/// The same colors, one pixel a cell, or one for as many frames as it takes to be no wider than `widest`: of those the level that is
/// furthest from nothing is shown.
fn image(spectrogram: &Spectrogram, view: &View, is_signed: bool, widest: usize) -> egui::ColorImage {
    let (n_frames, height) = (spectrogram.n_frames, spectrogram.n_bins);
    let stretch = n_frames.div_ceil(widest).max(1);
    let width = n_frames.div_ceil(stretch);
    let span = view.range_db.end - view.range_db.start;
    let color = |db: f32| {
        let [r, g, b, a] = view.colors[((db - view.range_db.start) / span * 255.0).round().clamp(0.0, 255.0) as usize];
        Color32::from_rgba_premultiplied(r, g, b, a)
    };
    let level = |column: usize, bin: usize| {
        let frames = column * stretch..((column + 1) * stretch).min(n_frames);
        let levels = frames.map(|frame| spectrogram.db[frame * height + bin]);
        let strength = |db: &f32| if is_signed { db.abs() } else { *db };
        levels.max_by(|a, b| strength(a).total_cmp(&strength(b))).unwrap_or(view.range_db.start)
    };
    let cells = (0..height).rev().flat_map(|bin| (0..width).map(move |column| (column, bin)));
    egui::ColorImage::new([width, height], cells.map(|(column, bin)| color(level(column, bin))).collect())
}

/// Pixels across the widest texture that can be drawn.
fn widest(ui: &egui::Ui) -> usize {
    ui.input(|i| i.max_texture_side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sound_is_no_wider_than_a_texture_and_keeps_what_stands_out() {
        let n_frames = 20_000;
        let mut db = vec![-60.0; n_frames * 2];
        db[2 * 12_345] = 0.0;
        let spectrogram = Spectrogram { db, n_frames, n_bins: 2, top_hz: 8e3 };
        let mut colors = [[0; 4]; 256];
        colors.iter_mut().enumerate().for_each(|(i, c)| *c = [i as u8; 4]);
        let view = View::whole(n_frames, 2, -80.0..0.0, colors);
        let drawn = image(&spectrogram, &view, false, 8_192);
        assert_eq!(drawn.size, [6_667, 2]);
        let loud: Vec<usize> = (0..drawn.pixels.len()).filter(|i| drawn.pixels[*i].r() == 255).collect();
        assert_eq!(loud, [6_667 + 12_345 / 3], "the lower bin is the lower row");
        let signed = image(&spectrogram, &View::whole(n_frames, 2, -80.0..80.0, view.colors), true, 8_192);
        assert!(signed.pixels.iter().all(|p| p.r() < 128), "of signed levels the larger magnitude is kept");
    }
}
