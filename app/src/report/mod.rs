//! `report.html`: the showcase as one page that needs nothing else, no server, no script and no other file.
//!
//! Figures are inline SVG, sounds are 16-bit WAV in data URIs, numbers are tables, every quantity has its definition and the page
//! says what made it. It computes nothing: everything comes from the [`Showcase`].

mod figures;
mod html;
mod tables;

pub use figures::{figures, injection, metric_definitions};

use driftscope_core::figure::{FigureError, FigureSpec, to_svg};

use crate::demo::Demo;
use crate::showcase::{Showcase, Sound, family};
use crate::window::caption;
use html::{data_uri_wav, definition_list, escape, number, table};

/// The page. `specs` as [`figures`] gives them; `device` in words; `command` as typed, to do it again.
pub fn page(showcase: &Showcase, demo: &Demo, specs: &[FigureSpec], device: &str, command: &str) -> Result<String, FigureError> {
    let mut body = headline(showcase, demo);
    body.push_str("<h2>Injection: how each mode departs from truth</h2>\n");
    for spec in specs.iter().filter(|s| s.name.starts_with("injection")) {
        body.push_str(&figure(spec)?);
    }
    body.push_str(&format!(
        "<p class=\"faint\">In the tables, value and band are those of the figures. {}.</p>\n",
        escape(&caption::bands())
    ));
    for (info, report) in &showcase.injections {
        body.push_str(&format!("<h3>{}, step by step</h3>\n", escape(family(&info.kind))));
        body.push_str(&tables::injection(report));
    }
    body.push_str("<h2>Horizons: teacher-forced</h2>\n");
    for spec in specs.iter().filter(|s| s.name == "horizons") {
        body.push_str(&figure(spec)?);
    }
    body.push_str(&tables::evaluation(&showcase.evaluation));
    body.push_str("<h2>Trajectories and sounds</h2>\n");
    for voice in &showcase.voices {
        body.push_str(&format!("<h3>Voice {}</h3>\n", escape(&voice.utterance_id)));
        for spec in specs.iter().filter(|s| s.name == format!("trajectory-{}", voice.utterance_id)) {
            body.push_str(&figure(spec)?);
        }
        body.push_str(&sounds(&voice.sounds));
    }
    body.push_str("<h2>Definitions</h2>\n");
    body.push_str(&definition_list(&definitions(specs)));
    body.push_str(&provenance(showcase, demo, device, command));
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Driftscope: the demo</title>\n<style>\n{}</style>\n<body>\n{body}</body>\n</html>\n",
        include_str!("style.css")
    ))
}

/// What the page shows, and the numbers to read first.
fn headline(showcase: &Showcase, demo: &Demo) -> String {
    let n_eval = demo.corpus.side(driftscope_core::context::Side::Eval).count();
    let mut text = format!(
        "<h1>Where a rollout drifts</h1>\n<p class=\"lead\">{} utterances of synthetic speech, {n_eval} of them by voices that no predictor \
         was trained on, as {}-dimensional latents at {} Hz.</p>\n",
        demo.corpus.utterances.len(),
        demo.corpus.dim,
        demo.corpus.frame_rate_hz
    );
    for (info, report) in &showcase.injections {
        let mode = |name: &str| report.modes.iter().find(|m| m.name == name);
        let (Some(teacher), Some(free)) = (mode("A_teacher"), mode("D_rollout")) else { continue };
        let (Some(first), Some(last)) = (teacher.per_step.first(), free.per_step.last()) else { continue };
        let lines = &report.references;
        let at_last = |values: &[f64]| values.get(last.step - 1).copied();
        text.push_str(&format!(
            "<p><b>{}.</b> Teacher-forced, the predicted step points {} along the true one, against {} for frames shuffled in time. \
             Free-running, after {} steps: {}, against {} for the null and {} for a predictor trained directly for that horizon. \
             The state is then {} median steps from the truth; always answering the mean frame would be {}.</p>\n",
            escape(family(&info.kind)),
            number(first.cos.mean),
            number(lines.null_cos.first().copied()),
            last.step,
            number(last.cos.mean),
            number(at_last(&lines.null_cos)),
            number(lines.skyline_cos.get(last.step - 1).copied().flatten()),
            number(last.state_err_after.mean),
            number(Some(lines.climatology_state_err)),
        ));
    }
    text
}

fn figure(spec: &FigureSpec) -> Result<String, FigureError> {
    let svg = to_svg(spec)?;
    // The XML declaration has no place inside a page; ids are made unique, since all figures share one document.
    let svg = svg.find("<svg").map_or(svg.as_str(), |start| &svg[start..]);
    let (id, url, href) = (format!("id=\"{}-", spec.name), format!("url(#{}-", spec.name), format!("href=\"#{}-", spec.name));
    let svg = svg.replace("id=\"", &id).replace("url(#", &url).replace("href=\"#", &href);
    Ok(format!("<figure>\n{svg}\n<figcaption>{}</figcaption>\n</figure>\n", escape(&spec.caption)))
}

fn sounds(sounds: &[Sound]) -> String {
    let mut text = String::from("<div class=\"sounds\">\n");
    for sound in sounds {
        text.push_str(&format!(
            "<div><b>{}</b><br><span class=\"faint\">mel distance {}</span></div>\
             <div><audio controls preload=\"none\" aria-label=\"{}\" src=\"{}\"></audio><br><span class=\"faint\">{}</span></div>\n",
            escape(&sound.name),
            number(Some(sound.mel_distance)),
            escape(&sound.name),
            data_uri_wav(&sound.clip),
            escape(&sound.explanation)
        ));
    }
    text.push_str("</div>\n");
    text
}

/// Each definition once, in the order of the figures.
fn definitions(specs: &[FigureSpec]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for definition in specs.iter().flat_map(|s| &s.provenance.definitions) {
        if !all.contains(definition) {
            all.push(definition.clone());
        }
    }
    all.push("Advance ratio: ‖Δ̂ that the state advanced by‖ / ‖Δ‖, with magnitude rule and α applied and noise not.".to_owned());
    all.push(
        "Mel distance: mean |ln max(mel, 1e-5) − ln max(mel̂, 1e-5)| over 80 mel bands of the power spectrum; of the decoded truth from \
         the recording, of everything else from the decoded truth."
            .to_owned(),
    );
    all
}

fn provenance(showcase: &Showcase, demo: &Demo, device: &str, command: &str) -> String {
    let tag = demo.codec.tag();
    let mut rows = vec![
        vec!["program".to_owned(), format!("driftscope {}", env!("CARGO_PKG_VERSION"))],
        vec!["device".to_owned(), device.to_owned()],
        vec!["codec".to_owned(), format!("{}, tap {}, weights {}", tag.codec, tag.tap, tag.weights_hash)],
        vec!["latents".to_owned(), demo.corpus.source.clone()],
    ];
    for predictor in &demo.predictors {
        let info = &predictor.info;
        rows.push(vec![format!("{} k = {}", family(&info.kind), info.horizon), info.hash.clone()]);
    }
    rows.push(vec!["settings".to_owned(), serde_json::to_string(&showcase.config).unwrap_or_default()]);
    format!(
        "<h2>Provenance</h2>\n{}<h3>To do it again</h3>\n<pre>{}</pre>\n<p class=\"faint\">The plotted numbers lie in \
         <code>figures/</code> as CSV beside PDF, SVG and PNG, all others in <code>metrics.json</code>. In the commands \
         <code>driftscope inject</code>, <code>evaluate</code> and <code>synth</code> the same functions run on any store.</p>\n",
        table(&rows),
        escape(command)
    )
}
