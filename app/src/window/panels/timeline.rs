//! Center: truth, the compared source and their difference over time, with the rollout's start and end, its steps, the loop and the one
//! cursor.

use driftscope_core::engine::display::latents::Shown;
use driftscope_core::rollout::StepAction;
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
    from_sec: f64,
    to_sec: f64,
    frame_sec: f64,
}

impl Axis {
    fn x(&self, sec: f64) -> f32 {
        self.area.left() + ((sec - self.from_sec) / (self.to_sec - self.from_sec).max(1e-9)) as f32 * self.area.width()
    }

    fn frame_x(&self, frame: usize) -> f32 {
        self.x(frame as f64 * self.frame_sec)
    }

    fn sec(&self, x: f32) -> f64 {
        self.from_sec + f64::from((x - self.area.left()) / self.area.width()) * (self.to_sec - self.from_sec)
    }

    fn frame(&self, x: f32) -> usize {
        (self.sec(x).max(0.0) / self.frame_sec) as usize
    }

    fn nearest_frame(&self, x: f32) -> usize {
        (self.sec(x).max(0.0) / self.frame_sec).round() as usize
    }
}

/// Draws the timeline.
pub fn timeline_ui(ui: &mut egui::Ui, state: &State, drawings: &mut Drawings, commands: &mut Commands) {
    let Some(session) = state.session() else { return };
    let (rect, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
    let area = Rect::from_min_max(rect.min + vec2(theme::LANE_NAME_WIDTH, 0.0), rect.max);
    let [from_sec, to_sec] = state.seconds_in_view();
    let axis = Axis { area, from_sec, to_sec, frame_sec: session.frame_sec() };
    let background = ui.interact(area, ui.scope_id().with("timeline"), Sense::click_and_drag());
    let utterance = session.corpus.utterances.get(state.choice().utterance).map_or("", |u| u.id.as_str());
    let n_frames = session.n_frames(state.choice().utterance);
    let description = format!("Timeline of {utterance}, {:.2} s, {n_frames} frames", state.duration_sec());
    background.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &description));

    let ruler = Rect::from_min_size(area.min, vec2(area.width(), theme::RULER_HEIGHT));
    let strip = Rect::from_min_max(pos2(area.left(), area.bottom() - theme::STEP_STRIP_HEIGHT), area.max);
    let lanes = Rect::from_min_max(ruler.left_bottom(), strip.right_top() - vec2(0.0, theme::LANE_GAP));
    ruler_ui(ui, ruler, axis);
    loop_ui(ui, ruler, axis, state, commands);
    let lane_height = lanes.height() / 3.0;
    let lane =
        |i: usize| Rect::from_min_size(lanes.min + vec2(0.0, lane_height * i as f32), vec2(lanes.width(), lane_height - theme::LANE_GAP));
    if session.codec.is_none() {
        latents_ui(ui, lanes, &lane, axis, state, &session.unheard, drawings);
    }
    let messages = [(Source::Truth, Layer::Sound), (state.view.compared, Layer::Sound), (state.view.compared, Layer::Difference)]
        .into_iter()
        .enumerate()
        .filter(|_| session.codec.is_some())
        .filter_map(|(i, (source, layer))| Some((i, sound_lane(ui, lane(i), axis, state, source, layer, drawings)?)))
        .collect::<Vec<_>>();
    steps_ui(ui, strip, axis, state, commands);
    marks_ui(ui, lanes, axis, state);

    if (background.clicked() || background.dragged_by(egui::PointerButton::Primary))
        && let Some(pos) = background.interact_pointer_pos()
    {
        commands.send(Command::SetCursor(axis.frame(pos.x)));
    }
    zoom_ui(ui, &background, axis, commands);
    let lane_at = |pos: Pos2| (0..3).find(|i| lane(*i).contains(pos));
    if let Some(pos) = background.hover_pos() {
        background.on_hover_text_at_pointer(hover_text(state, axis, pos, lane_at(pos).map(|i| (i, lane(i)))));
    }
    ends_ui(ui, Rect::from_min_max(ruler.min, strip.max), axis, state, commands);
    match messages.as_slice() {
        [(_, first), rest @ ..] if rest.len() == 2 && rest.iter().all(|(_, message)| message == first) => lane_message(ui, lanes, first),
        several => several.iter().for_each(|(i, message)| lane_message(ui, lane(*i), message)),
    }
}

/// Scrolling zooms about the pointer, with shift it moves; a double-click shows all.
fn zoom_ui(ui: &egui::Ui, background: &egui::Response, axis: Axis, commands: &mut Commands) {
    if background.double_clicked() {
        commands.send(Command::ViewSeconds(None));
    }
    let width = axis.to_sec - axis.from_sec;
    let moved = |by: f64| Command::ViewSeconds(Some([axis.from_sec + by, axis.to_sec + by]));
    if background.dragged_by(egui::PointerButton::Middle) {
        commands.send(moved(-f64::from(background.drag_delta().x / axis.area.width()) * width));
    }
    let Some(pos) = background.hover_pos() else { return };
    let (scroll, zoom) = ui.input(|i| (i.smooth_scroll_delta(), i.zoom_delta()));
    if scroll.x != 0.0 {
        commands.send(moved(-f64::from(scroll.x / axis.area.width()) * width));
    }
    let factor = f64::from(zoom) * f64::from(scroll.y * theme::ZOOM_PER_POINT).exp();
    if (factor - 1.0).abs() > 1e-6 {
        let at = axis.sec(pos.x);
        commands.send(Command::ViewSeconds(Some([at - (at - axis.from_sec) / factor, at + (axis.to_sec - at) / factor])));
    }
}

/// The stretch that repeats, over the ruler: dragged there, forgotten by a double-click.
fn loop_ui(ui: &egui::Ui, ruler: Rect, axis: Axis, state: &State, commands: &mut Commands) {
    let (from, to) = state.loop_sec();
    let color = if state.view.looping { theme::ink(ui.visuals()) } else { theme::faint(ui.visuals()) };
    let bar = Rect::from_x_y_ranges(axis.x(from)..=axis.x(to), ruler.bottom() - theme::LOOP_BAR_HEIGHT..=ruler.bottom());
    let opacity = if state.view.looping { theme::LOOP_OPACITY } else { theme::LOOP_OPACITY * 0.5 };
    ui.painter_at(ruler).rect_filled(bar, 1.0, color.gamma_multiply(opacity));
    let response = ui.interact(ruler, ui.scope_id().with("loop"), Sense::click_and_drag());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Slider, true, format!("Loop from {from:.2} to {to:.2} s")));
    if let (true, Some(pos), Some(origin)) = (response.dragged(), response.interact_pointer_pos(), ui.input(|i| i.pointer.press_origin())) {
        commands.send(Command::SetLoop(Some([axis.sec(origin.x), axis.sec(pos.x)])));
    }
    if response.double_clicked() {
        commands.send(Command::SetLoop(None));
    } else if let (true, Some(pos)) = (response.clicked(), response.interact_pointer_pos()) {
        commands.send(Command::SetCursor(axis.frame(pos.x)));
    }
    response.on_hover_text(format!(
        "Loop from {from:.2} to {to:.2} s. Drag here for another stretch, double-click for the rollout's own; L switches it on and off."
    ));
}

fn ruler_ui(ui: &egui::Ui, rect: Rect, axis: Axis) {
    let color = theme::faint(ui.visuals());
    let font = FontId::proportional(theme::SMALL_TEXT);
    let painter = ui.painter_at(rect);
    let last = (axis.to_sec / axis.frame_sec).round() as usize;
    // Frame ticks only where they stay apart.
    if axis.frame_x(1) - axis.frame_x(0) > 3.0 {
        for frame in axis.frame(rect.left())..=last {
            let tall = if frame % 5 == 0 { 6.0 } else { 3.0 };
            painter.vline(axis.frame_x(frame), rect.bottom() - tall..=rect.bottom(), Stroke::new(1.0, color));
        }
    }
    let wide_enough = |s: &f64| axis.x(*s) - axis.x(0.0) > 56.0;
    let every = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0].into_iter().find(wide_enough).unwrap_or(60.0);
    for i in (axis.from_sec / every).floor() as usize..=(axis.to_sec / every) as usize {
        let sec = i as f64 * every;
        let x = axis.x(sec);
        if x + 30.0 < rect.right() {
            painter.text(pos2(x + 2.0, rect.top()), Align2::LEFT_TOP, format!("{sec:.1} s"), font.clone(), color);
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
    let name = if layer == Layer::Difference { "Difference".to_owned() } else { state.source_name(source) };
    let color = if layer == Layer::Difference { theme::faint(ui.visuals()) } else { theme::source_color(source, ui.visuals()) };
    lane_name(ui, rect, &name, color);
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
    let duration_sec = sound.clip.duration_sec();
    // The part of the sound that is in view, and where it lies.
    let part = [axis.from_sec / duration_sec, axis.to_sec.min(shown_sec) / duration_sec];
    let right = axis.x(shown_sec).min(rect.right());
    if right > rect.left() {
        let wave = Rect::from_min_max(rect.min, pos2(right, rect.top() + rect.height() * theme::WAVE_SHARE));
        let spectrum = Rect::from_min_max(pos2(rect.left(), wave.bottom()), pos2(right, rect.bottom()));
        wave_ui(ui, wave, envelope, part, loudest(state), color);
        drawings.spectrogram(ui, spectrum, sound, layer, part);
    }
    None
}

/// Without a decoder the frames themselves are shown: standardized values over time and dimension, and the size of each step above them.
fn latents_ui(ui: &egui::Ui, lanes: Rect, lane: &dyn Fn(usize) -> Rect, axis: Axis, state: &State, unheard: &str, drawings: &mut Drawings) {
    let rollout = theme::source_color(Source::Rollout, ui.visuals());
    let pictures = [
        (Shown::Truth, "Ground truth", theme::ink(ui.visuals())),
        (Shown::Rollout, "Rollout", rollout),
        (Shown::Difference, "Difference", theme::faint(ui.visuals())),
    ];
    for (i, (shown, name, color)) in pictures.into_iter().enumerate() {
        let rect = lane(i);
        ui.painter().rect_filled(rect, 2.0, ui.visuals().extreme_bg_color);
        lane_name(ui, rect, &format!("{name}\nlatents"), color);
        let Some((rolled, picture)) = state.rolled.as_ref().and_then(|r| Some((r, r.latent_pictures.get(i)?))) else { continue };
        let Some(session) = state.sessions.get(rolled.choice.store) else { continue };
        let seconds = picture.spectrogram.n_frames as f64 * axis.frame_sec;
        let part = [axis.from_sec / seconds, axis.to_sec.min(seconds) / seconds];
        let right = axis.x(seconds).min(rect.right());
        if right > rect.left() {
            let wave = Rect::from_min_max(rect.min, pos2(right, rect.top() + rect.height() * theme::WAVE_SHARE));
            let values = Rect::from_min_max(pos2(rect.left(), wave.bottom()), pos2(right, rect.bottom()));
            let tallest = rolled.latent_pictures[0].envelope.iter().map(|e| e[1]).fold(1.0, f32::max);
            wave_ui(ui, wave, &picture.envelope, part, tallest, color);
            drawings.latents(ui, values, session, rolled, shown, part);
        }
    }
    let why = format!("latents in place of sound: {unheard}");
    let font = FontId::proportional(theme::SMALL_TEXT);
    // Beside the rollout where there is room for it: it departs from the truth there.
    let before = axis.frame_x(state.choice().t0) - lanes.left();
    let width = if before > lanes.width() * 0.25 { before.min(lanes.width()) } else { lanes.width() };
    let text = ui.painter().layout(why, font, theme::ink(ui.visuals()), width - 3.0 * theme::GAP);
    let place = Align2::LEFT_BOTTOM.anchor_size(lanes.left_bottom() - vec2(-theme::GAP, theme::LANE_GAP * 2.0), text.size());
    ui.painter().rect_filled(place.expand(theme::GAP * 0.25), 2.0, ui.visuals().extreme_bg_color);
    ui.painter().galley(place.min, text, theme::ink(ui.visuals()));
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

fn wave_ui(ui: &egui::Ui, rect: Rect, envelope: &Envelope, part: [f64; 2], full_height: f32, color: Color32) {
    let columns = rect.width().max(0.0) as usize;
    if envelope.is_empty() || columns == 0 {
        return;
    }
    let y = |v: f32| rect.center().y - (v / full_height).clamp(-1.0, 1.0) * rect.height() * 0.5;
    let place = |column: usize| {
        let share = part[0] + (part[1] - part[0]) * column as f64 / columns as f64;
        ((share * envelope.len() as f64) as usize).min(envelope.len() - 1)
    };
    let lines = (0..columns).map(|column| {
        let (from, to) = (place(column), place(column + 1).max(place(column) + 1));
        let [low, high] = envelope[from..to].iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[l, h], e| [l.min(e[0]), h.max(e[1])]);
        let x = rect.left() + column as f32 + 0.5;
        egui::Shape::vline(x, y(high) - 0.5..=y(low) + 0.5, Stroke::new(1.0, color))
    });
    ui.painter().extend(lines);
}

/// What becomes of each step. A click or a pull of the pointer paints with the brush, and takes back what is painted with it.
fn steps_ui(ui: &egui::Ui, strip: Rect, axis: Axis, state: &State, commands: &mut Commands) {
    lane_name(ui, strip, "Steps", theme::source_color(Source::Rollout, ui.visuals()));
    let choice = state.choice();
    let painter = ui.painter_at(strip.expand(1.0));
    let stroke_id = ui.scope_id().with("stroke");
    let pointer = ui.input(|i| i.pointer.interact_pos());
    for step in 1..=choice.config.n_steps {
        let frame = choice.t0 + step - 1;
        let whole = Rect::from_min_max(pos2(axis.frame_x(frame), strip.top()), pos2(axis.frame_x(frame + 1), strip.bottom()));
        let (cell, shown) = (whole.shrink(1.5), whole.intersect(strip));
        if shown.width() <= 0.0 {
            continue;
        }
        let action = choice.action(step);
        let anchored = choice.config.reanchor_every.is_some_and(|n| step % n == 0);
        let color = theme::source_color(Source::Rollout, ui.visuals());
        let fill = match action {
            StepAction::Own if anchored => theme::faint(ui.visuals()),
            _ => theme::action_color(action, ui.visuals()),
        };
        painter.rect(cell, 2.0, fill, Stroke::new(1.0, color), egui::StrokeKind::Inside);
        let name = if anchored && action == StepAction::Own { "re-anchored" } else { theme::action_name(action) };
        let response = ui.interact(shown, ui.scope_id().with(("step", step)), Sense::click_and_drag());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, format!("Step {step}, {name}")));
        let painted = |action: StepAction| if action == state.brush { StepAction::Own } else { state.brush };
        if response.drag_started_by(egui::PointerButton::Primary) {
            ui.data_mut(|d| d.insert_temp(stroke_id, painted(action)));
        }
        // The cell that is pulled from has the pointer; the action goes to the cell under it.
        if response.dragged_by(egui::PointerButton::Primary)
            && let (Some(stroke), Some(pos)) = (ui.data(|d| d.get_temp::<StepAction>(stroke_id)), pointer)
            && let Some(under) = (axis.frame(pos.x) + 1).checked_sub(choice.t0).filter(|s| (1..=choice.config.n_steps).contains(s))
            && choice.action(under) != stroke
        {
            commands.send(Command::Paint { step: under, action: stroke });
        }
        if response.clicked() {
            commands.send(Command::Paint { step, action: painted(action) });
        }
        response.context_menu(|ui| {
            for action in StepAction::ALL {
                if ui.selectable_label(choice.action(step) == action, theme::action_name(action)).clicked() {
                    commands.send(Command::Paint { step, action });
                    ui.close();
                }
            }
        });
        let hint = theme::action_hint(action);
        response.on_hover_text(format!(
            "Step {step}: {name}. {hint} Click or pull to paint \"{}\"; right-click for all.",
            theme::action_name(state.brush)
        ));
    }
}

/// The rollout's stretch, the step under the pointer elsewhere, and the cursor, over all lanes.
fn marks_ui(ui: &egui::Ui, lanes: Rect, axis: Axis, state: &State) {
    let painter = ui.painter_at(lanes);
    let (first, last) = (state.choice().t0, state.choice().t0 + state.choice().config.n_steps);
    let stretch = Rect::from_min_max(pos2(axis.frame_x(first), lanes.top()), pos2(axis.frame_x(last), lanes.bottom()));
    let color = theme::source_color(Source::Rollout, ui.visuals());
    painter.rect_stroke(stretch, 0.0, Stroke::new(1.0, color), egui::StrokeKind::Inside);
    if let Some((_, step)) = state.hovered {
        let frame = state.choice().t0 + step - 1;
        let hovered = Rect::from_min_max(pos2(axis.frame_x(frame), lanes.top()), pos2(axis.frame_x(frame + 1), lanes.bottom()));
        painter.rect_filled(hovered, 0.0, theme::ink(ui.visuals()).gamma_multiply(theme::BAND_OPACITY));
    }
    // Seen on light and on dark.
    let x = axis.x(state.position_sec);
    painter.vline(x, lanes.y_range(), Stroke::new(theme::CURSOR_WIDTH * 2.5, ui.visuals().extreme_bg_color));
    painter.vline(x, lanes.y_range(), Stroke::new(theme::CURSOR_WIDTH, theme::ink(ui.visuals())));
}

/// The draggable start and end of the rollout.
fn ends_ui(ui: &egui::Ui, rect: Rect, axis: Axis, state: &State, commands: &mut Commands) {
    let (t0, n_steps) = (state.choice().t0, state.choice().config.n_steps);
    let end = t0 + n_steps;
    // The end lies below: where both are near, the start is grabbed.
    if let Some(frame) = end_ui(ui, rect, axis, ("end", -1.0), end, &format!("End after {n_steps} steps"), "End of the rollout") {
        commands.send(Command::SetSteps(frame.saturating_sub(t0).max(1)));
    }
    if let Some(frame) = end_ui(ui, rect, axis, ("start", 1.0), t0, &format!("Start at frame {t0}"), "Start of the rollout") {
        commands.send(Command::SetStart(frame));
    }
}

/// One of them, with a flag that points inwards; the frame it was dragged to.
fn end_ui(ui: &egui::Ui, rect: Rect, axis: Axis, (id, inwards): (&str, f32), frame: usize, name: &str, what: &str) -> Option<usize> {
    let x = axis.frame_x(frame);
    let color = theme::source_color(Source::Rollout, ui.visuals());
    let bottom = rect.bottom() - theme::STEP_STRIP_HEIGHT;
    let handle = Rect::from_min_max(pos2(x - theme::HANDLE_REACH, rect.top()), pos2(x + theme::HANDLE_REACH, bottom));
    let reach = handle.intersect(rect.expand(theme::HANDLE_REACH));
    if reach.width() <= 0.0 {
        return None;
    }
    let response = ui.interact(reach, ui.scope_id().with(id), Sense::drag());
    let width = if response.hovered() || response.dragged() { theme::CURSOR_WIDTH * 2.0 } else { theme::CURSOR_WIDTH };
    let painter = ui.painter_at(rect.expand2(vec2(theme::GAP, 0.0)));
    painter.vline(x, handle.y_range(), Stroke::new(width, color));
    let tip = x + inwards * theme::GAP;
    let flag = vec![pos2(x, rect.top()), pos2(tip, rect.top() + theme::GAP * 0.5), pos2(x, rect.top() + theme::GAP)];
    painter.add(egui::Shape::convex_polygon(flag, color, Stroke::NONE));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Slider, true, name));
    let response = response.on_hover_and_drag_cursor(egui::CursorIcon::ResizeHorizontal);
    let dragged = response.dragged().then(|| response.interact_pointer_pos()).flatten().map(|pos| axis.nearest_frame(pos.x));
    response.on_hover_text(format!("{what}: frame {frame}. Drag to move it."));
    dragged
}

fn hover_text(state: &State, axis: Axis, pos: Pos2, lane: Option<(usize, Rect)>) -> String {
    let (sec, frame) = (axis.sec(pos.x), axis.frame(pos.x));
    let mut text = format!("{sec:.3} s, frame {frame}");
    if let Some(step) = (frame + 1).checked_sub(state.choice().t0).filter(|s| (1..=state.choice().config.n_steps).contains(s)) {
        text += &format!(", step {step}");
    }
    let Some((index, rect)) = lane else { return text };
    if let Some(picture) = state.rolled.as_ref().and_then(|r| r.latent_pictures.get(index)) {
        let top = rect.top() + rect.height() * theme::WAVE_SHARE;
        let height = (rect.bottom() - pos.y) / (rect.bottom() - top);
        let s = &picture.spectrogram;
        if (0.0..1.0).contains(&height) && frame < s.n_frames {
            let dim = ((height * s.n_bins as f32) as usize).min(s.n_bins - 1);
            text += &format!("\ndimension {dim}: {:+.2} standard deviations of the training frames", s.db[frame * s.n_bins + dim]);
        }
        return text;
    }
    let source = if index == 0 { Source::Truth } else { state.view.compared };
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
