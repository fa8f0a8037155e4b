//! What is drawn through core's shaders, kept as long as it looks the same.
//!
//! What a rollout left on the window's own device is drawn from there; all else is uploaded when it changes. From then on there is one
//! way: a view is prepared when part, size or theme change, and painted in every frame. Without a device that can run the shaders,
//! spectrograms and latents become textures and trajectories stay in the plots beside.

use std::collections::BTreeMap;
use std::sync::Arc;

use driftscope_core::engine::Resident;
use driftscope_core::engine::display::latents::{Frames, Shown, View as LatentView};
use driftscope_core::engine::display::spectrogram::View;
use driftscope_core::engine::display::trajectory::{Orbit, Path};
use driftscope_core::engine::display::{self, Prepared};
use driftscope_core::represent::Pca;
use eframe::egui::{self, Color32, Rect, pos2};

use super::export::Preview;
use super::gpu::{Gpu, callback, size_px};
use super::picture::Spectrogram;
use super::session::Session;
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

/// Everything that is kept to be painted again.
#[derive(Default)]
pub struct Drawings {
    gpu: Option<Gpu>,
    levels: BTreeMap<(Source, Layer), Levels>,
    latents: Option<Latents>,
    space: Option<Space>,
    figure: Option<(Arc<Preview>, egui::TextureHandle)>,
}

/// A spectrogram: its levels on the device, and how they were last seen.
struct Levels {
    sound: Arc<Sound>,
    values: Option<Resident>,
    seen: Option<Seen>,
}

/// The pictures of a rollout's latents.
struct Latents {
    rolled: Arc<Rolled>,
    frames: Option<Frames<Resident>>,
    seen: BTreeMap<usize, Seen>,
}

/// In what way something is looked at.
#[derive(Clone, Copy, PartialEq)]
struct Look {
    is_dark: bool,
    size_px: [f32; 2],
    /// Shares of its length.
    part: [f64; 2],
}

/// Something drawn for a look at it.
struct Seen {
    look: Look,
    drawn: Drawn,
}

enum Drawn {
    Shader(Arc<Prepared>),
    Texture(egui::TextureHandle),
}

struct Space {
    tracks: Vec<Track>,
    orbit: Orbit,
    size_px: [f32; 2],
    prepared: Arc<Prepared>,
}

/// A path with its points on the device.
struct Track {
    path: Path,
    is_projected: bool,
    points: Resident,
}

/// A path and, of a rollout, what its points are the projections of.
pub type Course<'a> = (Path, Option<Projected<'a>>);

/// Frames, of which all points of a path but the first are the projections.
#[derive(Clone, Debug)]
pub struct Projected<'a> {
    /// `[n_points − 1, dim]`
    pub frames: display::Source<'a>,
    /// Onto what.
    pub pca: &'a Pca,
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
        let (key, look) = ((sound.source, layer), Look::at(ui, area, part));
        let kept = self.levels.remove(&key).filter(|kept| Arc::ptr_eq(&kept.sound, sound));
        let mut levels = kept.unwrap_or_else(|| {
            // Zoomed out, the shader shows the loudest of the cells under a pixel, which is right for levels and would hide
            // negative differences; those are filtered as a texture.
            let gpu = self.gpu.as_ref().filter(|_| layer == Layer::Sound && spectrogram.db.len() <= MOST_IN_A_BUFFER);
            let values = gpu.map(|gpu| display::Source::from(spectrogram.db.as_slice()).on(&gpu.device));
            Levels { sound: Arc::clone(sound), values, seen: None }
        });
        let seen = levels.seen.take().filter(|seen| seen.serves(&look)).unwrap_or_else(|| {
            let whole = view(spectrogram, layer, ui.visuals().extreme_bg_color);
            let drawn = match (&self.gpu, &levels.values) {
                (Some(gpu), Some(values)) => {
                    let view = View { frames: look.frames(spectrogram.n_frames), ..whole };
                    Drawn::Shader(Arc::new(gpu.spectrogram.prepare(&gpu.device, values, spectrogram.n_bins, &view, look.size_px)))
                }
                _ => Drawn::Texture(ui.ctx().load_texture(
                    format!("{key:?}"),
                    image(spectrogram, &whole, layer == Layer::Difference, widest(ui)),
                    egui::TextureOptions::LINEAR,
                )),
            };
            Seen { look, drawn }
        });
        seen.paint(ui, area, part);
        self.levels.insert(key, Levels { seen: Some(seen), ..levels });
    }

    /// Draws the `part` (shares of its length) of one of a rollout's latent pictures into `area`; `session` is the rollout's.
    pub fn latents(&mut self, ui: &egui::Ui, area: Rect, session: &Session, rolled: &Arc<Rolled>, shown: Shown, part: [f64; 2]) {
        let Some(picture) = rolled.latent_pictures.get(shown as usize) else { return };
        let look = Look::at(ui, area, part);
        let kept = self.latents.take().filter(|kept| Arc::ptr_eq(&kept.rolled, rolled));
        let mut latents = kept.unwrap_or_else(|| {
            let frames = self.gpu.as_ref().and_then(|gpu| frames(gpu, session, rolled));
            Latents { rolled: Arc::clone(rolled), frames, seen: BTreeMap::new() }
        });
        let seen = latents.seen.remove(&(shown as usize)).filter(|seen| seen.serves(&look)).unwrap_or_else(|| {
            let (s, most) = (&picture.spectrogram, theme::LATENT_RANGE);
            let colors = signed(ui.visuals().extreme_bg_color);
            let drawn = if let (Some(gpu), Some(frames)) = (&self.gpu, &latents.frames) {
                let start = rolled.choice.t0;
                let view = LatentView { shown, start, n_frames: s.n_frames, frames: look.frames(s.n_frames), most, colors };
                Drawn::Shader(Arc::new(gpu.latents.prepare(&gpu.device, frames, &view, look.size_px)))
            } else {
                let image = image(s, &View::whole(s.n_frames, s.n_bins, -most..most, colors), true, widest(ui));
                Drawn::Texture(ui.ctx().load_texture(format!("latents {shown:?}"), image, egui::TextureOptions::NEAREST))
            };
            Seen { look, drawn }
        });
        seen.paint(ui, area, part);
        latents.seen.insert(shown as usize, seen);
        self.latents = Some(latents);
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

    /// Draws `paths` as seen from `orbit` into `area`. Points are brought to the device, and frames projected there, only for paths that
    /// were not drawn before.
    pub fn space(&mut self, ui: &egui::Ui, area: Rect, orbit: Orbit, paths: Vec<Course>) {
        let Some(gpu) = &self.gpu else { return };
        let size_px = size_px(area, ui.ctx());
        let same = |s: &Space| {
            let same_paths = || s.tracks.iter().zip(&paths).all(|(track, (path, _))| looks_like(&track.path, path));
            s.size_px == size_px && s.orbit == orbit && s.tracks.len() == paths.len() && same_paths()
        };
        if !self.space.as_ref().is_some_and(same) {
            let before = self.space.take().map_or_else(Vec::new, |space| space.tracks);
            let track = |(path, projected): Course| {
                let same = |track: &&Track| track.is_projected == projected.is_some() && bits(&track.path) == bits(&path);
                let points = before.iter().find(same).map(|track| track.points.clone());
                let points = points.unwrap_or_else(|| points_of(gpu, &path, projected.as_ref()));
                Track { path, is_projected: projected.is_some(), points }
            };
            let tracks: Vec<Track> = paths.into_iter().map(track).collect();
            let placed: Vec<Path<Resident>> = tracks.iter().map(|track| track.path.along(track.points.clone())).collect();
            let prepared = Arc::new(gpu.trajectory.prepare(&gpu.device, &placed, &orbit, size_px));
            self.space = Some(Space { tracks, orbit, size_px, prepared });
        }
        if let Some(space) = &self.space {
            ui.painter().add(callback(area, &space.prepared));
        }
    }
}

impl Look {
    fn at(ui: &egui::Ui, area: Rect, part: [f64; 2]) -> Self {
        Self { is_dark: ui.visuals().dark_mode, size_px: size_px(area, ui.ctx()), part }
    }

    /// The part in frames.
    fn frames(&self, n_frames: usize) -> std::ops::Range<f32> {
        self.part[0] as f32 * n_frames as f32..self.part[1] as f32 * n_frames as f32
    }
}

impl Seen {
    /// A texture holds all of it; the shader was told which part to draw, and how large.
    fn serves(&self, look: &Look) -> bool {
        self.look == *look || matches!(self.drawn, Drawn::Texture(_)) && self.look.is_dark == look.is_dark
    }

    fn paint(&self, ui: &egui::Ui, area: Rect, part: [f64; 2]) {
        match &self.drawn {
            Drawn::Shader(prepared) => drop(ui.painter().add(callback(area, prepared))),
            Drawn::Texture(texture) => {
                let shown = Rect::from_min_max(pos2(part[0] as f32, 0.0), pos2(part[1] as f32, 1.0));
                ui.painter().image(texture.id(), area, shown, Color32::WHITE);
            }
        }
    }
}

/// What the pictures of a rollout's latents are drawn from: the rollout where it was computed, if that is here.
fn frames(gpu: &Gpu, session: &Session, rolled: &Rolled) -> Option<Frames<Resident>> {
    let truth = &session.corpus.utterances.get(rolled.choice.utterance)?.latents.values;
    let scaling = [session.pca.mean.as_slice(), &session.spread].concat();
    let on = |source: display::Source| source.on(&gpu.device);
    (truth.len().max(rolled.live.states.len()) <= MOST_IN_A_BUFFER).then(|| Frames {
        truth: on(truth.as_slice().into()),
        rolled: on(rolled.live.frames(0)),
        scaling: on(scaling.as_slice().into()),
    })
}

/// The points of a path on the device: of a rollout as its frames there are projected, else the host's.
fn points_of(gpu: &Gpu, path: &Path, projected: Option<&Projected>) -> Resident {
    let fits = |p: &&Projected| p.frames.host.len() <= MOST_IN_A_BUFFER && p.pca.variance.len() == 3;
    let Some(Projected { frames, pca }) = projected.filter(fits) else {
        return Resident::upload(&gpu.device, path.points.as_flattened());
    };
    let axes = Resident::upload(&gpu.device, &[pca.mean.as_slice(), &pca.components].concat());
    gpu.project.points((&gpu.device, &gpu.queue), &path.points, 1, &frames.on(&gpu.device), &axes)
}

/// Whether two paths are one picture.
fn looks_like(a: &Path, b: &Path) -> bool {
    (a.color_low, a.color_high, a.width_px) == (b.color_low, b.color_high, b.width_px) && bits(a) == bits(b)
}

/// A path's points, of which those that are no numbers equal themselves.
fn bits(path: &Path) -> &[u32] {
    bytemuck::cast_slice(&path.points)
}

fn spectrogram(sound: &Sound, layer: Layer) -> Option<&Spectrogram> {
    match layer {
        Layer::Sound => Some(&sound.picture.spectrogram),
        Layer::Difference => sound.difference.as_ref().map(|d| &d.spectrogram),
    }
}

/// Levels and colors: loudness below the loudest, or signed decibels around the background.
fn view(spectrogram: &Spectrogram, layer: Layer, background: Color32) -> View {
    let (range_db, colors) = match layer {
        Layer::Sound => {
            let loudest = spectrogram.db.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            (loudest - theme::SPECTROGRAM_RANGE_DB..loudest, table(theme::heat))
        }
        Layer::Difference => (-theme::DIFFERENCE_RANGE_DB..theme::DIFFERENCE_RANGE_DB, signed(background)),
    };
    View::whole(spectrogram.n_frames, spectrogram.n_bins, range_db, colors)
}

/// Colors from the first to the last level.
fn table(color: impl Fn(f32) -> Color32) -> [[u8; 4]; 256] {
    std::array::from_fn(|i| color(i as f32 / 255.0).to_array())
}

/// Those of what differs from nothing to either side.
fn signed(background: Color32) -> [[u8; 4]; 256] {
    table(|level| theme::difference(2.0 * level - 1.0, background))
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
