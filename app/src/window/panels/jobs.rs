//! Work under way: progress, rate, time left, stop, resume, log.

use eframe::egui;

use crate::window::command::{Command, Commands};
use crate::window::jobs::{FitDraft, Job, Status};
use crate::window::state::State;
use crate::window::theme;

/// Draws the list, newest first.
pub fn jobs_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    ui.horizontal(|ui| {
        ui.strong("Jobs");
        if ui.small_button("Fit a predictor…").clicked() {
            commands.send(Command::DraftFit(Some(FitDraft::first(state))));
        }
    });
    egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        if state.jobs.is_empty() {
            ui.weak("Nothing runs. Fits, stores, recordings and checkpoints that are opened or dropped on the window appear here.");
        }
        for job in state.jobs.iter().rev() {
            job_ui(ui, job, commands);
            ui.separator();
        }
    });
}

fn job_ui(ui: &mut egui::Ui, job: &Job, commands: &mut Commands) {
    ui.horizontal(|ui| {
        ui.label(job.task.title());
        match job.status {
            Status::Running => {
                let bar = egui::ProgressBar::new(job.share().unwrap_or(0.0)).desired_width(theme::PROGRESS_WIDTH);
                let bar = if job.share().is_some() { bar.show_percentage() } else { bar.animate(true) };
                ui.add(bar).on_hover_text(numbers(job));
                ui.small(numbers(job));
                if ui.small_button("Stop").accessible_name(format!("Stop {}", job.task.title())).clicked() {
                    commands.send(Command::StopJob(job.id));
                }
            }
            Status::Done => drop(ui.weak("done")),
            Status::Failed => drop(ui.colored_label(theme::warning(), "failed")),
            Status::Stopped => {
                ui.weak("stopped");
                if ui.small_button("Resume").accessible_name(format!("Resume {}", job.task.title())).clicked() {
                    commands.send(Command::ResumeJob(job.id));
                }
            }
        }
    });
    if !job.log.is_empty() {
        egui::CollapsingHeader::new(egui::RichText::new(job.log.last().map_or("", String::as_str)).small()).id_salt(job.id).show(
            ui,
            |ui| {
                for line in &job.log {
                    ui.small(line);
                }
            },
        );
    }
}

/// "1200 of 2000, loss 41.2, 8.3 a second, 1 min 36 s left".
fn numbers(job: &Job) -> String {
    let Some(progress) = &job.progress else { return "starting".into() };
    let mut parts = vec![match progress.total {
        Some(total) => format!("{}: {} of {total}", progress.stage, progress.done),
        None => progress.stage.to_string(),
    }];
    if !progress.note.is_empty() {
        parts.push(progress.note.to_string());
    }
    if let Some(rate) = job.rate() {
        parts.push(format!("{rate:.1} a second"));
    }
    if let Some(left) = job.seconds_left() {
        parts.push(format!("{} left", duration(left)));
    }
    parts.join(", ")
}

fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
