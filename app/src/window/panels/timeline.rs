//! Center: truth, the compared source and their difference over time, with the start, the steps and the one cursor.

use eframe::egui::{self, Align2, Color32, FontId, Pos2, Rect, Sense, Stroke, pos2, vec2};

use crate::window::command::{Command, Commands};
use crate::window::drawing::{Drawings, Layer};
use crate::window::picture::Envelope;
use crate::window::source::Source;
use crate::window::state::{SoundState, State};
use crate::window::theme;

/// Time to pixels and back.
#[derive(Clone, Copy)]
struct Axis {
    area: Rect,
    duration_sec: f64,
    frame_sec: f64,
}

impl Axis {
    fn x(&self, sec: f64) -> f32 {
        self.area.left() + (sec / self.duration_sec.max(1e-9)) as f32 * self.area.width()
    }

    fn frame_x(&self, frame: usize) -> f32 {
        self.x(frame as f64 * self.frame_sec)
    }

    fn sec(&self, x: f32) -> f64 {
        f64::from((x - self.area.left()) / self.area.width()) * self.duration_sec
    }

    fn frame(&self, x: f32) -> usize {
        (self.sec(x).max(0.0) / self.frame_sec) as usize
    }
}

/// Draws the timeline.
pub fn timeline_ui(ui: &mut egui::Ui, state: &State, drawings: &mut Drawings, commands: &mut Commands) {
    let Some(session) = &state.session else { return };
    let (rect, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
    let area = Rect::from_min_max(rect.min + vec2(theme::LANE_NAME_WIDTH, 0.0), rect.max);
    let axis = Axis { area, duration_sec: state.duration_sec(), frame_sec: session.frame_sec() };
    let background = ui.interact(area, ui.scope_id().with("timeline"), Sense::click_and_drag());
    let utterance = session.corpus.utterances.get(state.choice.utterance).map_or("", |u| u.id.as_str());
    let description = format!("Timeline of {utterance}, {:.2} s, {} frames", axis.duration_sec, session.n_frames(state.choice.utterance));
    background.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &description));

    let ruler = Rect::from_min_size(area.min, vec2(area.width(), theme::RULER_HEIGHT));
    let strip = Rect::from_min_max(pos2(area.left(), area.bottom() - theme::STEP_STRIP_HEIGHT), area.max);
    let lanes = Rect::from_min_max(ruler.left_bottom(), strip.right_top() - vec2(0.0, theme::LANE_GAP));
    ruler_ui(ui, ruler, axis);
    let lane_height = lanes.height() / 3.0;
    let lane =
        |i: usize| Rect::from_min_size(lanes.min + vec2(0.0, lane_height * i as f32), vec2(lanes.width(), lane_height - theme::LANE_GAP));
    let messages = [(Source::Truth, Layer::Sound), (state.compared, Layer::Sound), (state.compared, Layer::Difference)]
        .into_iter()
        .enumerate()
        .filter_map(|(i, (source, layer))| Some((i, sound_lane(ui, lane(i), axis, state, source, layer, drawings)?)))
        .collect::<Vec<_>>();
    steps_ui(ui, strip, axis, state, commands);
    marks_ui(ui, lanes, axis, state);

    if (background.clicked() || background.dragged())
        && let Some(pos) = background.interact_pointer_pos()
    {
        commands.send(Command::SetCursor(axis.frame(pos.x)));
    }
    let lane_at = |pos: Pos2| (0..3).find(|i| lane(*i).contains(pos));
    if let Some(pos) = background.hover_pos() {
        background.on_hover_text_at_pointer(hover_text(state, axis, pos, lane_at(pos).map(|i| (i, lane(i)))));
    }
    start_ui(ui, Rect::from_min_max(ruler.min, strip.max), axis, state, commands);
    match messages.as_slice() {
        [(_, first), rest @ ..] if rest.len() == 2 && rest.iter().all(|(_, message)| message == first) => lane_message(ui, lanes, first),
        several => several.iter().for_each(|(i, message)| lane_message(ui, lane(*i), message)),
    }
}

fn ruler_ui(ui: &egui::Ui, rect: Rect, axis: Axis) {
    let color = theme::faint(ui.visuals());
    let font = FontId::proportional(theme::SMALL_TEXT);
    let n_frames = (axis.duration_sec / axis.frame_sec).round() as usize;
    // Frame ticks only where they stay apart.
    if axis.frame_x(1) - axis.frame_x(0) > 3.0 {
        for frame in 0..=n_frames {
            let tall = if frame % 5 == 0 { 6.0 } else { 3.0 };
            ui.painter().vline(axis.frame_x(frame), rect.bottom() - tall..=rect.bottom(), Stroke::new(1.0, color));
        }
    }
    let every = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0].into_iter().find(|s| axis.x(*s) - axis.x(0.0) > 56.0).unwrap_or(60.0);
    let n_labels = (axis.duration_sec / every) as usize;
    for i in 0..=n_labels {
        let sec = i as f64 * every;
        let x = axis.x(sec);
        if x + 30.0 < rect.right() {
            ui.painter().text(pos2(x + 2.0, rect.top()), Align2::LEFT_TOP, format!("{sec:.1} s"), font.clone(), color);
        }
    }
}

/// Draws a lane, or gives back what is to be said in its place.
fn sound_lane<'a>(
    ui: &egui::Ui,
    rect: Rect,
    axis: Axis,
    state: &'a State,
    source: Source,
    layer: Layer,
    drawings: &mut Drawings,
) -> Option<&'a str> {
    let painter = ui.painter();
    painter.rect_filled(rect, 2.0, ui.visuals().extreme_bg_color);
    let name = if layer == Layer::Difference { "Difference" } else { source.name() };
    let color = if layer == Layer::Difference { theme::faint(ui.visuals()) } else { theme::source_color(source, ui.visuals()) };
    lane_name(ui, rect, name, color);
    let sound = match state.sound(source) {
        SoundState::Ready(sound) => sound,
        SoundState::Computing => return Some("computing"),
        SoundState::Absent(reason) => return Some(reason),
    };
    let envelope = match (layer, &sound.difference) {
        (Layer::Difference, Some(difference)) => &difference.envelope,
        (Layer::Difference, None) => return Some("computing"),
        (Layer::Sound, _) => &sound.picture.envelope,
    };
    let shown_sec = if layer == Layer::Difference { truth_sec(state).min(sound.clip.duration_sec()) } else { sound.clip.duration_sec() };
    let right = axis.x(shown_sec).min(rect.right());
    let wave = Rect::from_min_max(rect.min, pos2(right, rect.top() + rect.height() * theme::WAVE_SHARE));
    let spectrum = Rect::from_min_max(pos2(rect.left(), wave.bottom()), pos2(right, rect.bottom()));
    wave_ui(ui, wave, envelope, loudest(state), color);
    drawings.spectrogram(ui, spectrum, sound, layer);
    None
}

fn lane_name(ui: &egui::Ui, lane: Rect, name: &str, color: Color32) {
    let rect = Rect::from_min_max(pos2(lane.left() - theme::LANE_NAME_WIDTH, lane.top()), lane.left_bottom() - vec2(theme::GAP, 0.0));
    let text = ui.painter().layout(name.to_owned(), FontId::proportional(theme::SMALL_TEXT), theme::ink(ui.visuals()), rect.width());
    let bar = Rect::from_min_max(pos2(lane.left() - theme::GAP * 0.75, lane.top()), pos2(lane.left() - theme::GAP * 0.25, lane.bottom()));
    ui.painter().rect_filled(bar, 1.0, color);
    ui.painter().galley(rect.left_top(), text, theme::ink(ui.visuals()));
}

/// On a ground of its own, so that no line of the timeline runs through it.
fn lane_message(ui: &egui::Ui, rect: Rect, message: &str) {
    let font = FontId::proportional(theme::SMALL_TEXT);
    let text = ui.painter().layout(message.to_owned(), font, theme::ink(ui.visuals()), rect.width() - 2.0 * theme::GAP);
    let place = Align2::CENTER_CENTER.anchor_size(rect.center(), text.size());
    ui.painter().rect_filled(place.expand(theme::GAP * 0.5), 2.0, ui.visuals().extreme_bg_color);
    ui.painter().galley(place.min, text, theme::ink(ui.visuals()));
}

/// The decoded truth's length; nothing can be compared beyond it.
fn truth_sec(state: &State) -> f64 {
    state.sounds.get(&Source::Truth).map_or(f64::INFINITY, |truth| truth.clip.duration_sec())
}

/// The truth's loudest sample: fills a lane's height, in all lanes alike, so that they can be compared.
fn loudest(state: &State) -> f32 {
    let peak = |[low, high]: &[f32; 2]| low.abs().max(high.abs());
    let truth = state.sounds.get(&Source::Truth);
    truth.and_then(|t| t.picture.envelope.iter().map(peak).reduce(f32::max)).unwrap_or(1.0).max(theme::QUIETEST_FULL_HEIGHT)
}

fn wave_ui(ui: &egui::Ui, rect: Rect, envelope: &Envelope, full_height: f32, color: Color32) {
    let columns = rect.width().max(0.0) as usize;
    if envelope.is_empty() || columns == 0 {
        return;
    }
    let y = |v: f32| rect.center().y - (v / full_height).clamp(-1.0, 1.0) * rect.height() * 0.5;
    for column in 0..columns {
        let from = column * envelope.len() / columns;
        let to = ((column + 1) * envelope.len() / columns).max(from + 1);
        let [low, high] = envelope[from..to].iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[l, h], e| [l.min(e[0]), h.max(e[1])]);
        let x = rect.left() + column as f32 + 0.5;
        ui.painter().vline(x, y(high) - 0.5..=y(low) + 0.5, Stroke::new(1.0, color));
    }
}

/// Which steps keep the own frame and which get the truth; a click changes one.
fn steps_ui(ui: &egui::Ui, strip: Rect, axis: Axis, state: &State, commands: &mut Commands) {
    lane_name(ui, strip, "Steps", theme::source_color(Source::Rollout, ui.visuals()));
    let choice = &state.choice;
    for step in 1..=choice.config.n_steps {
        let frame = choice.t0 + step - 1;
        let cell = Rect::from_min_max(pos2(axis.frame_x(frame), strip.top()), pos2(axis.frame_x(frame + 1), strip.bottom())).shrink(1.5);
        let painted = choice.injected.contains(&step);
        let anchored = choice.config.reanchor_every.is_some_and(|n| step % n == 0);
        let (name, fill) = match (painted, anchored) {
            (true, _) => ("truth injected", theme::ink(ui.visuals())),
            (false, true) => ("re-anchored", theme::faint(ui.visuals())),
            (false, false) => ("own", Color32::TRANSPARENT),
        };
        let color = theme::source_color(Source::Rollout, ui.visuals());
        ui.painter().rect(cell, 2.0, fill, Stroke::new(1.0, color), egui::StrokeKind::Inside);
        let response = ui.interact(cell, ui.scope_id().with(("step", step)), Sense::click());
        let hint =
            if painted { "Click to let the rollout keep its own frame." } else { "Click to put the true frame back after this step." };
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, format!("Step {step}, {name}")));
        if response.on_hover_text(format!("Step {step}: {name}. {hint}")).clicked() {
            commands.send(Command::ToggleInjection(step));
        }
    }
}

/// The rollout's stretch and the cursor, over all lanes.
fn marks_ui(ui: &egui::Ui, lanes: Rect, axis: Axis, state: &State) {
    let (first, last) = (state.choice.t0, state.choice.t0 + state.choice.config.n_steps);
    let stretch = Rect::from_min_max(pos2(axis.frame_x(first), lanes.top()), pos2(axis.frame_x(last), lanes.bottom()));
    let color = theme::source_color(Source::Rollout, ui.visuals());
    ui.painter().rect_stroke(stretch, 0.0, Stroke::new(1.0, color), egui::StrokeKind::Inside);
    let x = axis.x(state.position_sec);
    ui.painter().vline(x, lanes.y_range(), Stroke::new(theme::CURSOR_WIDTH, theme::ink(ui.visuals())));
}

/// The draggable start.
fn start_ui(ui: &egui::Ui, rect: Rect, axis: Axis, state: &State, commands: &mut Commands) {
    let x = axis.frame_x(state.choice.t0);
    let color = theme::source_color(Source::Rollout, ui.visuals());
    let handle = Rect::from_min_max(
        pos2(x - theme::HANDLE_REACH, rect.top()),
        pos2(x + theme::HANDLE_REACH, rect.bottom() - theme::STEP_STRIP_HEIGHT),
    );
    let response = ui.interact(handle, ui.scope_id().with("start"), Sense::drag());
    let width = if response.hovered() || response.dragged() { theme::CURSOR_WIDTH * 2.0 } else { theme::CURSOR_WIDTH };
    ui.painter().vline(x, handle.y_range(), Stroke::new(width, color));
    let flag = vec![pos2(x, rect.top()), pos2(x + theme::GAP, rect.top() + theme::GAP * 0.5), pos2(x, rect.top() + theme::GAP)];
    ui.painter().add(egui::Shape::convex_polygon(flag, color, Stroke::NONE));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Slider, true, format!("Start at frame {}", state.choice.t0)));
    let response = response.on_hover_and_drag_cursor(egui::CursorIcon::ResizeHorizontal);
    if response.dragged()
        && let Some(pos) = response.interact_pointer_pos()
    {
        commands.send(Command::SetStart((axis.sec(pos.x).max(0.0) / axis.frame_sec).round() as usize));
    }
    response.on_hover_text(format!("Start of the rollout: frame {}. Drag to move it.", state.choice.t0));
}

fn hover_text(state: &State, axis: Axis, pos: Pos2, lane: Option<(usize, Rect)>) -> String {
    let (sec, frame) = (axis.sec(pos.x), axis.frame(pos.x));
    let mut text = format!("{sec:.3} s, frame {frame}");
    if let Some(step) = (frame + 1).checked_sub(state.choice.t0).filter(|s| (1..=state.choice.config.n_steps).contains(s)) {
        text += &format!(", step {step}");
    }
    let Some((index, rect)) = lane else { return text };
    let source = if index == 0 { Source::Truth } else { state.compared };
    let SoundState::Ready(sound) = state.sound(source) else { return text };
    let (spectrogram, what) = match (index, &sound.difference) {
        (2, Some(difference)) => (&difference.spectrogram, "difference"),
        _ => (&sound.picture.spectrogram, "level"),
    };
    let top = rect.top() + rect.height() * theme::WAVE_SHARE;
    let height = (rect.bottom() - pos.y) / (rect.bottom() - top);
    let column = (sec / sound.clip.duration_sec() * spectrogram.n_frames as f64) as usize;
    if (0.0..1.0).contains(&height) && column < spectrogram.n_frames {
        let bin = (height * spectrogram.n_bins as f32) as usize;
        let hz = f64::from(height) * spectrogram.top_hz;
        text += &format!("\n{hz:.0} Hz, {what} {:.1} dB", spectrogram.db[column * spectrogram.n_bins + bin.min(spectrogram.n_bins - 1)]);
    }
    text
}
