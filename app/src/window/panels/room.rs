//! The listening room: large, quiet, and nothing in it that tells one sound from another. Usable with the eyes shut.

use driftscope_core::listen::{Answer, Question};
use eframe::egui::{self, Align, Key, Layout, RichText};

use crate::window::command::{Command, Commands};
use crate::window::room::{Due, Room, RoomCommand, Stage};
use crate::window::theme;

/// Draws the whole window.
pub(super) fn room_ui(ui: &mut egui::Ui, room: &Room, commands: &mut Commands) {
    egui::Panel::top("room").show(ui, |ui| head_ui(ui, room, commands));
    egui::CentralPanel::default().show(ui, |ui| {
        let side = ((ui.available_width() - theme::ROOM_WIDTH) * 0.5).max(0.0);
        egui::ScrollArea::vertical().show(ui, |ui| {
            ui.horizontal_top(|ui| {
                ui.add_space(side);
                ui.vertical(|ui| {
                    ui.set_width(theme::ROOM_WIDTH.min(ui.available_width()));
                    ui.add_space(theme::ROOM_GAP * 2.0);
                    stage_ui(ui, room, commands);
                });
            });
        });
    });
}

fn head_ui(ui: &mut egui::Ui, room: &Room, commands: &mut Commands) {
    ui.horizontal(|ui| {
        ui.strong(&room.title);
        ui.weak(&room.listener);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let name = if matches!(room.stage, Stage::After { .. }) { "Close" } else { "Leave (go on later)" };
            if ui.button(name).on_hover_text("Esc").clicked() {
                commands.send(Command::Room(RoomCommand::Leave));
            }
            let (done, all) = room.progress;
            let share = if all == 0 { 1.0 } else { done as f32 / all as f32 };
            let bar = egui::ProgressBar::new(share).desired_width(theme::PROGRESS_WIDTH).text(format!("{done} of {all}"));
            ui.add(bar).accessible_name("Answered trials");
        });
    });
}

fn stage_ui(ui: &mut egui::Ui, room: &Room, commands: &mut Commands) {
    let send = |commands: &mut Commands, command| commands.send(Command::Room(command));
    match &room.stage {
        Stage::Before { instructions, ready, sounding } => {
            heading(ui, "Before you begin");
            for sentence in instructions {
                ui.label(RichText::new(sentence).size(theme::ROOM_TEXT));
                ui.add_space(theme::GAP);
            }
            ui.horizontal(|ui| {
                let name = if *sounding { "Pause the sound" } else { "Play a sound" };
                if ui.add_enabled(*ready, large(name)).clicked() {
                    send(commands, RoomCommand::Toggle);
                }
                if ui.add(large("Begin")).clicked() {
                    send(commands, RoomCommand::GoOn);
                }
            });
            ui.add_space(theme::GAP);
            ui.weak("Keys: Space plays and pauses; Enter begins, answers and goes on; the letters on the buttons or 1–9 play a sound; ← and → choose.");
        }
        Stage::Trial(due) => trial_ui(ui, due, commands),
        Stage::Shown(sentence) => {
            heading(ui, "Practice");
            ui.label(RichText::new(sentence).size(theme::ROOM_TEXT));
            ui.add_space(theme::ROOM_GAP);
            if ui.add(wide("Go on", theme::ROOM_BUTTON[0])).clicked() {
                send(commands, RoomCommand::GoOn);
            }
        }
        Stage::Pause => {
            heading(ui, "Time for a pause");
            ui.label(RichText::new("Ears tire. Take as long as you like; nothing is lost.").size(theme::ROOM_TEXT));
            ui.add_space(theme::ROOM_GAP);
            if ui.add(large("Go on")).clicked() {
                send(commands, RoomCommand::GoOn);
            }
        }
        Stage::After { summary, receipt, folder } => after_ui(ui, summary, receipt, folder, commands),
    }
    if let Some(silent) = room.silent.as_ref().filter(|_| !matches!(room.stage, Stage::After { .. })) {
        ui.add_space(theme::ROOM_GAP);
        ui.colored_label(theme::warning(), format!("Nothing can be heard, and answers would be guesses: {silent}"));
    }
    if let Some(notice) = &room.notice {
        ui.add_space(theme::ROOM_GAP);
        ui.colored_label(theme::warning(), notice);
    }
}

fn after_ui(ui: &mut egui::Ui, summary: &str, receipt: &str, folder: &str, commands: &mut Commands) {
    heading(ui, "Finished");
    ui.add(egui::Label::new(RichText::new(summary).size(theme::TEXT)).selectable(true)).accessible_name("Results");
    ui.add_space(theme::ROOM_GAP);
    ui.horizontal(|ui| {
        if ui.button("Copy the text").clicked() {
            ui.ctx().copy_text(summary.to_owned());
        }
        if ui.button("Write results").on_hover_text("JSON, CSV of every answer, this text, and a figure, beside the test").clicked() {
            commands.send(Command::Room(RoomCommand::Write));
        }
        ui.weak(format!("Plan, sounds and log: {folder}"));
    });
    ui.weak(format!("Receipt: {receipt}")).on_hover_text(
        "The last hash of the log. Whoever notes it can tell later that no line was changed: driftscope listen verify FILE shows it.",
    );
}

fn trial_ui(ui: &mut egui::Ui, due: &Due, commands: &mut Commands) {
    heading(ui, due.question.sentence());
    ui.weak(if due.training { "For practice: this one does not count." } else { " " });
    ui.add_space(theme::ROOM_GAP);
    let rated = matches!(due.question, Question::Rate | Question::Grade);
    if rated {
        rating_ui(ui, due, commands);
    } else {
        let width = equal_width(ui, due.slots.len());
        ui.horizontal(|ui| (0..due.slots.len()).for_each(|slot| slot_ui(ui, due, slot, [width, theme::ROOM_BUTTON[1]], commands)));
    }
    ui.add_space(theme::GAP);
    let place = egui::ProgressBar::new(due.place).desired_width(ui.available_width()).desired_height(theme::GAP * 0.5);
    ui.add(place).accessible_name("Place in the sound");
    ui.add_space(theme::ROOM_GAP);
    if !rated {
        choice_ui(ui, due, commands);
        ui.add_space(theme::ROOM_GAP);
    }
    let width = equal_width(ui, 2);
    ui.horizontal(|ui| {
        let name = if due.sounding.is_some() { "Pause" } else { "Play" };
        if ui.add_enabled(due.ready, wide(name, width)).on_hover_text("Space").clicked() {
            commands.send(Command::Room(RoomCommand::Toggle));
        }
        if ui.add_enabled(due.missing.is_none(), wide("Answer", width)).on_hover_text("Enter").clicked() {
            commands.send(Command::Room(RoomCommand::Answer));
        }
    });
    ui.horizontal(|ui| {
        if due.ready {
            ui.weak(due.missing.as_deref().unwrap_or("Enter gives the answer."));
        } else {
            ui.weak("preparing the sounds");
        }
    });
}

/// What can be said of the sounds.
fn choice_ui(ui: &mut egui::Ui, due: &Due, commands: &mut Commands) {
    let mut offered: Vec<(String, Answer, RoomCommand)> = Vec::new();
    let [first, second] = choices(due.question);
    for slot in [first, second] {
        let label = due.slots.get(slot).map_or("", |(label, _)| label.as_str());
        let text = match due.question {
            Question::WhichIsX => format!("X is {label}"),
            Question::WhichDiffers => format!("{label} is not the reference"),
            _ => format!("I prefer {label}"),
        };
        offered.push((text, Answer::Slot(slot), RoomCommand::Choose(slot)));
    }
    if due.question == Question::WhichIsBetterIfAny {
        offered.insert(1, ("No preference".to_owned(), Answer::Neither, RoomCommand::Neither));
    }
    let width = equal_width(ui, offered.len());
    ui.horizontal(|ui| {
        for (text, answer, command) in offered {
            if ui.add(chosen(&text, due.chosen == Some(answer), [width, theme::ROOM_BUTTON[1]])).clicked() {
                commands.send(Command::Room(command));
            }
        }
    });
}

/// One column a sound: its button, and a slider on the scale with named bands.
fn rating_ui(ui: &mut egui::Ui, due: &Due, commands: &mut Commands) {
    let Some((lowest, highest, names)) = due.question.scale() else { return };
    let width = theme::ROOM_NARROW_BUTTON[0];
    ui.horizontal_top(|ui| {
        ui.vertical(|ui| slot_ui(ui, due, 0, [theme::SCALE_NAMES_WIDTH * 0.7, theme::ROOM_NARROW_BUTTON[1]], commands));
        names_ui(ui, due.question, names);
        for slot in 1..due.slots.len() {
            let (label, rating) = (&due.slots[slot].0, due.ratings.get(slot - 1).copied().flatten());
            // All columns are equally wide, heard or not.
            let column = egui::vec2(width, theme::RATING_HEIGHT + theme::ROOM_NARROW_BUTTON[1] + theme::ROOM_GAP);
            ui.allocate_ui_with_layout(column, Layout::top_down(Align::Center), |ui| {
                ui.set_width(width);
                slot_ui(ui, due, slot, theme::ROOM_NARROW_BUTTON, commands);
                ui.add_space(theme::GAP);
                let mut value = rating.unwrap_or(f64::midpoint(lowest, highest));
                ui.spacing_mut().slider_width = theme::RATING_HEIGHT;
                let decimals = usize::from(due.question == Question::Grade);
                let slider = egui::Slider::new(&mut value, lowest..=highest).vertical().show_value(false).fixed_decimals(decimals);
                // A slider is as thick as a line of text is high.
                let indent = (width - ui.spacing().interact_size.y) * 0.5;
                let response = ui.horizontal(|ui| {
                    ui.add_space(indent);
                    ui.add(slider).accessible_name(format!("Rating of {label}"))
                });
                let response = response.inner;
                if response.changed() || (response.clicked() && rating.is_none()) {
                    commands.send(Command::Room(RoomCommand::Rate(slot, value)));
                }
                ui.label(rating.map_or_else(|| "–".to_owned(), |r| format!("{r:.decimals$}")));
            });
        }
    });
}

/// The five names of the scale, best at the top, beside the sliders.
fn names_ui(ui: &mut egui::Ui, question: Question, names: [&str; 5]) {
    ui.vertical(|ui| {
        ui.add_space(theme::ROOM_NARROW_BUTTON[1] + theme::GAP);
        let (rect, _) = ui.allocate_exact_size(egui::vec2(theme::SCALE_NAMES_WIDTH, theme::RATING_HEIGHT), egui::Sense::hover());
        let color = theme::faint(ui.visuals());
        for (i, name) in names.iter().rev().enumerate() {
            // Bands of MUSHRA lie between its fifths; grades of BS.1116 are points.
            let share = if question == Question::Grade { i as f32 / 4.0 } else { (i as f32 + 0.5) / 5.0 };
            let at = egui::pos2(rect.right() - theme::ROOM_GAP, rect.top() + share * rect.height());
            ui.painter().text(at, egui::Align2::RIGHT_CENTER, name, egui::FontId::proportional(theme::TEXT), color);
        }
        let ends: Vec<u32> = if question == Question::Grade { (1..=5).collect() } else { (0..=100).step_by(20).collect() };
        for (i, number) in ends.iter().rev().enumerate() {
            let at = egui::pos2(rect.right(), rect.top() + i as f32 / (ends.len() - 1) as f32 * rect.height());
            ui.painter().text(at, egui::Align2::RIGHT_CENTER, number, egui::FontId::proportional(theme::SMALL_TEXT), color);
        }
    });
}

fn slot_ui(ui: &mut egui::Ui, due: &Due, slot: usize, size: [f32; 2], commands: &mut Commands) {
    let (label, heard) = &due.slots[slot];
    let text = if *heard { format!("{label}  ✓") } else { label.clone() };
    let button = chosen(&text, due.sounding == Some(slot), size);
    let hint = if *heard { "Heard" } else { "Not heard for long enough yet" };
    if ui.add_enabled(due.ready, button).on_hover_text(hint).accessible_name(format!("Play {label}")).clicked() {
        commands.send(Command::Room(RoomCommand::Play(slot)));
    }
}

/// The slots that an answer can name.
fn choices(question: Question) -> [usize; 2] {
    if question == Question::WhichDiffers { [1, 2] } else { [0, 1] }
}

fn heading(ui: &mut egui::Ui, text: &str) {
    ui.label(RichText::new(text).size(theme::ROOM_HEADING).strong());
    ui.add_space(theme::GAP);
}

/// A large button that stays lit.
fn chosen(text: &str, is_chosen: bool, size: [f32; 2]) -> egui::Button<'static> {
    egui::Button::selectable(is_chosen, RichText::new(text).size(theme::ROOM_TEXT)).min_size(size.into()).frame_when_inactive(true)
}

/// A large button of a given width.
fn wide(text: &str, width: f32) -> egui::Button<'_> {
    large(text).min_size(egui::vec2(width, theme::ROOM_BUTTON[1]))
}

/// How wide `n` buttons are that fill a row.
fn equal_width(ui: &egui::Ui, n: usize) -> f32 {
    let gaps = ui.spacing().item_spacing.x * n.saturating_sub(1) as f32;
    ((ui.available_width() - gaps) / n.max(1) as f32).floor()
}

fn large(text: &str) -> egui::Button<'_> {
    egui::Button::new(RichText::new(text).size(theme::ROOM_TEXT)).min_size(theme::ROOM_BUTTON.into())
}

/// Everything can be done by keys.
pub(super) fn room_keys(ctx: &egui::Context, room: &Room, commands: &mut Commands) {
    let pressed = |key: Key| ctx.input_mut(|i| i.consume_key(egui::Modifiers::NONE, key));
    let mut send = |command| commands.send(Command::Room(command));
    if pressed(Key::Escape) {
        send(RoomCommand::Leave);
    }
    if pressed(Key::Space) {
        send(RoomCommand::Toggle);
    }
    let enter = pressed(Key::Enter);
    let Stage::Trial(due) = &room.stage else {
        if enter {
            send(RoomCommand::GoOn);
        }
        return;
    };
    const NUMBERS: [Key; 9] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8, Key::Num9];
    for (slot, (label, _)) in due.slots.iter().enumerate() {
        let letter = label.chars().next().and_then(|c| Key::from_name(&c.to_uppercase().to_string()));
        if NUMBERS.get(slot).is_some_and(|key| pressed(*key)) || letter.is_some_and(pressed) {
            send(RoomCommand::Play(slot));
        }
    }
    let (left, right) = (pressed(Key::ArrowLeft), pressed(Key::ArrowRight));
    // Keys pressed faster than frames go by count each.
    let [up, down] = [Key::ArrowUp, Key::ArrowDown].map(|key| ctx.input_mut(|i| i.count_and_consume_key(egui::Modifiers::NONE, key)));
    match due.question.scale() {
        None => {
            let [first, second] = choices(due.question);
            if left {
                send(RoomCommand::Choose(first));
            }
            if right {
                send(RoomCommand::Choose(second));
            }
            if down > 0 && due.question == Question::WhichIsBetterIfAny {
                send(RoomCommand::Neither);
            }
        }
        // The slot that was heard last is rated: by fives, or by tenths of a grade.
        Some((lowest, highest, _)) if up + down > 0 => {
            let step = if due.question == Question::Grade { 0.1 } else { 5.0 };
            let slot = due.selected.max(1);
            let before = due.ratings.get(slot - 1).copied().flatten().unwrap_or(f64::midpoint(lowest, highest));
            let value = before + step * (up as f64 - down as f64);
            send(RoomCommand::Rate(slot, value.clamp(lowest, highest)));
        }
        Some(_) => {
            let n = due.slots.len();
            if left || right {
                send(RoomCommand::Play((due.selected + if right { 1 } else { n - 1 }) % n));
            }
        }
    }
    if enter {
        send(RoomCommand::Answer);
    }
}
