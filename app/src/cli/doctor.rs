//! `doctor`: what this machine has, what is missing, and how to get it.

use std::fmt::Write as _;
use std::path::PathBuf;

use driftscope_core::codec::CodecKind;
use driftscope_core::engine::compute::{Pace, crossover};
use driftscope_core::engine::{Device, DeviceChoice, adapters, open_device};
use driftscope_core::job::JobCtx;
use driftscope_core::predict::{Predictor, family};
use driftscope_core::rollout::paces;
use driftscope_core::run::Environment;
use serde_json::json;

use super::session::Session;
use super::{JsonArg, Report};
use crate::{demo, weights};

/// Say which adapters, audio outputs, codecs and displays there are, what is missing and how to get it
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    /// Checkpoints whose rollouts are timed, instead of the demo's
    #[arg(long, value_name = "CKPT")]
    predictor: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

/// Something the program can use and this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
struct Missing {
    what: &'static str,
    consequence: &'static str,
    how_to_get: String,
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    let device = session.device().map(|d| d.description.clone());
    let device = device.unwrap_or_else(|error| format!("none: {error}"));
    let environment = Environment::current(&device);
    let adapters = adapters();
    let outputs: Vec<String> = driftscope_core::playback::outputs().into_iter().map(|output| output.name).collect();
    let codecs: Vec<CodecWeights> = CodecKind::ALL.into_iter().map(CodecWeights::look).collect();
    let display = display();
    let distribution = distribution(&std::fs::read_to_string("/etc/os-release").unwrap_or_default());
    let paths = rollout_paths(args, session, !adapters.is_empty())?;
    let missing = missing(&distribution, adapters.is_empty(), outputs.is_empty(), display.is_none());

    let mut text = String::new();
    let _ = writeln!(text, "driftscope {} on {}, {} threads", environment.version, environment.platform, environment.threads);
    let _ = writeln!(text, "device     {device}");
    list(&mut text, "adapters", &adapters);
    list(&mut text, "audio out", &outputs);
    list(&mut text, "codecs", &codecs.iter().map(CodecWeights::line).collect::<Vec<_>>());
    let paced: Vec<String> = paths.iter().flat_map(RolloutPaths::lines).collect();
    list(&mut text, "rollouts", &paced);
    let _ = writeln!(text, "display    {}", display.as_deref().unwrap_or("none"));
    let _ = writeln!(text, "runs       {}", session.registry.folder().display());
    for missing in &missing {
        let _ = writeln!(text, "missing    {}: {}; {}", missing.what, missing.consequence, missing.how_to_get);
    }
    if missing.is_empty() {
        text.push_str("nothing is missing\n");
    }
    let json = json!({
        "environment": environment, "adapters": adapters, "audio_outputs": outputs, "display": display,
        "codec_weights": codecs, "rollout_paths": paths, "runs": session.registry.folder(), "missing": missing,
    });
    Ok(Report { text, json, ..Report::default() })
}

/// What the cache holds in the place of a codec's weights.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
struct CodecWeights {
    codec: CodecKind,
    path: Option<PathBuf>,
    /// Why that file cannot be weights.
    flaw: Option<String>,
}

impl CodecWeights {
    fn look(codec: CodecKind) -> Self {
        let path = weights::found(codec);
        Self { codec, flaw: path.as_deref().and_then(weights::flaw), path }
    }

    fn line(&self) -> String {
        let codec = self.codec;
        match (codec, &self.path, &self.flaw) {
            (CodecKind::Demo, ..) => format!("{codec}: embedded"),
            (_, Some(path), Some(flaw)) => {
                format!("{codec}: no weights: {} {flaw}; delete it, then `driftscope fetch {codec}`, or --weights FILE", path.display())
            }
            (_, Some(path), None) => format!("{codec}: {}", path.display()),
            (_, None, _) => format!("{codec}: no weights found; `driftscope fetch {codec}`, or --weights FILE"),
        }
    }
}

fn list(text: &mut String, title: &str, items: &[String]) {
    for (index, item) in items.iter().enumerate() {
        let _ = writeln!(text, "{:10} {item}", if index == 0 { title } else { "" });
    }
    if items.is_empty() {
        let _ = writeln!(text, "{title:10} none");
    }
}

/// How rollouts are computed with one predictor.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct RolloutPaths {
    predictor: String,
    adapter: String,
    /// Microseconds a step, by number of rows.
    paces: Vec<Pace>,
    /// From how many rows on the GPU computes; `None` for never.
    gpu_from_rows: Option<usize>,
}

impl RolloutPaths {
    fn lines(&self) -> Vec<String> {
        let who = match self.gpu_from_rows {
            None => "the CPU computes them".to_owned(),
            Some(0) => format!("{} computes them", self.adapter),
            Some(rows) => format!("{} computes them from {rows} rows on", self.adapter),
        };
        let pace = |p: &Pace| format!("{} rows: {} a step on the CPU, {} on {}", p.n_rows, us(p.cpu_us), us(p.gpu_us), self.adapter);
        std::iter::once(format!("{}: {who}", self.predictor)).chain(self.paces.iter().map(pace)).collect()
    }
}

/// "830 µs", "1.4 ms".
fn us(microseconds: f64) -> String {
    if microseconds < 1e3 { format!("{microseconds:.0} µs") } else { format!("{:.1} ms", microseconds / 1e3) }
}

/// What each path takes, at the demo's first predictor or at the one that was named.
fn rollout_paths(args: &Args, session: &Session, has_adapter: bool) -> anyhow::Result<Vec<RolloutPaths>> {
    let device = session.device().ok();
    let used = device.and_then(|device| device.gpu.clone());
    let mut predictors =
        args.predictor.iter().map(|path| Ok(Predictor::load(path, &Device::flex())?)).collect::<anyhow::Result<Vec<_>>>()?;
    if predictors.is_empty() {
        predictors.extend(demo::load(&Device::flex())?.predictors.into_iter().next());
    }
    // Without a GPU in use, one that is there is timed all the same.
    let opened = match device {
        Some(device) if used.is_some() => Some(device.clone()),
        _ if has_adapter => open_device(DeviceChoice::Gpu).ok(),
        _ => None,
    };
    let Some(opened) = opened else { return Ok(Vec::new()) };
    let ctx = JobCtx { gpu: opened.gpu, ..JobCtx::quiet(Device::flex(), session.seed) };
    let paths = |predictor: &Predictor| {
        let paces = paces(&ctx, predictor)?;
        let gpu_from_rows = match &used {
            None => None,
            Some(gpu) if gpu.crossovers().is_none() => Some(0),
            Some(_) => crossover(&paces),
        };
        let info = &predictor.info;
        let predictor = format!("{} of D = {}, W = {}", family(&info.kind), info.dim, info.window);
        Ok(RolloutPaths { predictor, adapter: opened.description.clone(), paces, gpu_from_rows })
    };
    predictors.iter().map(paths).collect()
}

/// The display a window would open on.
pub(super) fn display() -> Option<String> {
    if !cfg!(all(unix, not(target_os = "macos"))) {
        return Some("the desktop".to_owned());
    }
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let wayland = set("WAYLAND_DISPLAY").map(|value| format!("Wayland {value}"));
    wayland.or_else(|| set("DISPLAY").map(|value| format!("X11 {value}")))
}

/// Families of package managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distribution {
    Debian,
    Fedora,
    Arch,
    Mac,
    Other,
}

/// From `/etc/os-release`: `ID` and `ID_LIKE`.
fn distribution(os_release: &str) -> Distribution {
    if cfg!(target_os = "macos") {
        return Distribution::Mac;
    }
    let ids: Vec<&str> = os_release
        .lines()
        .filter_map(|l| l.strip_prefix("ID=").or_else(|| l.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_whitespace())
        .collect();
    let is = |names: &[&str]| ids.iter().any(|id| names.contains(id));
    if is(&["debian", "ubuntu"]) {
        Distribution::Debian
    } else if is(&["fedora", "rhel", "centos"]) {
        Distribution::Fedora
    } else if is(&["arch"]) {
        Distribution::Arch
    } else {
        Distribution::Other
    }
}

#[expect(clippy::fn_params_excessive_bools, reason = "three findings of equal rank, named where they are used")]
fn missing(distribution: &Distribution, no_adapter: bool, no_output: bool, no_display: bool) -> Vec<Missing> {
    let packages = |debian: &str, fedora: &str, arch: &str, otherwise: &str| match distribution {
        Distribution::Debian => format!("sudo apt install {debian}"),
        Distribution::Fedora => format!("sudo dnf install {fedora}"),
        Distribution::Arch => format!("sudo pacman -S {arch}"),
        Distribution::Mac | Distribution::Other => otherwise.to_owned(),
    };
    let mut missing = Vec::new();
    if no_adapter {
        missing.push(Missing {
            what: "graphics adapter",
            consequence: "the window cannot open and tensors stay on the CPU",
            how_to_get: packages(
                "libvulkan1 mesa-vulkan-drivers",
                "vulkan-loader mesa-vulkan-drivers",
                "vulkan-icd-loader vulkan-swrast",
                "install a Vulkan driver",
            ),
        });
    }
    if no_output {
        missing.push(Missing {
            what: "audio output",
            consequence: "sounds are shown and exported but not heard",
            how_to_get: format!(
                "connect a device, or let programs reach the sound server: {}",
                packages(
                    "pipewire-alsa (or libasound2-plugins for PulseAudio)",
                    "pipewire-alsa",
                    "pipewire-alsa",
                    "install its ALSA plugin"
                )
            ),
        });
    }
    if no_display {
        missing.push(Missing {
            what: "display",
            consequence: "`driftscope` runs the demo without a window and writes a report",
            how_to_get: "log in to a desktop, or set DISPLAY or WAYLAND_DISPLAY".to_owned(),
        });
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_recognized() {
        for (text, expected) in [
            ("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n", Distribution::Debian),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Distribution::Debian),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Distribution::Fedora),
            ("ID=arch\n", Distribution::Arch),
            ("", Distribution::Other),
        ] {
            assert_eq!(distribution(text), expected, "{text}");
        }
    }

    #[test]
    fn each_lack_names_a_remedy() {
        assert_eq!(missing(&Distribution::Debian, false, false, false), []);
        let all = missing(&Distribution::Debian, true, true, true);
        assert_eq!(all.len(), 3);
        assert!(all[0].how_to_get.contains("mesa-vulkan-drivers"));
    }
}
