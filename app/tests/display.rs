//! The program itself on a display of its own: real key presses go in, and the pixels are looked at.
//!
//! Lies here and not in `tests/` because only a package's own tests are given its binary. Needs `Xvfb`, which `./x test` asks for.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat, InputFocus, KEY_PRESS_EVENT, KEY_RELEASE_EVENT};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

const SIZE: [usize; 2] = [1280, 800];
const SHIFT: u32 = 0xffe1;
const CONTROL: u32 = 0xffe3;
const RETURN: u32 = 0xff0d;

/// Ended with the test, however it ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A display nobody looks at; `None` where there is none to be had.
fn display() -> Option<(Process, String)> {
    let size = format!("{}x{}x24", SIZE[0], SIZE[1]);
    let started = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", &size, "-nolisten", "tcp"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut server = match started {
        Ok(child) => Process(child),
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a skipped test is never silent")]
            {
                eprintln!("not run: Xvfb cannot be started ({error})");
            }
            return None;
        }
    };
    let mut number = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut number).unwrap();
    assert!(!number.trim().is_empty(), "Xvfb ended before it had a display");
    Some((server, format!(":{}", number.trim())))
}

struct Screen {
    connection: RustConnection,
    root: u32,
    /// First keycode, symbols a key, and the symbols.
    keys: (u8, usize, Vec<u32>),
}

impl Screen {
    fn open(display: &str) -> Self {
        let (connection, number) = x11rb::connect(Some(display)).unwrap();
        let setup = connection.setup();
        let (low, high, root) = (setup.min_keycode, setup.max_keycode, setup.roots[number].root);
        let mapping = connection.get_keyboard_mapping(low, high - low + 1).unwrap().reply().unwrap();
        Self { keys: (low, mapping.keysyms_per_keycode.into(), mapping.keysyms), connection, root }
    }

    /// Without a window manager nobody gives the window the keyboard.
    fn focus(&self) {
        let windows = self.connection.query_tree(self.root).unwrap().reply().unwrap().children;
        // The program has hidden ones, too.
        let size =
            |window: &u32| self.connection.get_geometry(*window).unwrap().reply().map_or(0, |g| u32::from(g.width) * u32::from(g.height));
        let top = windows.into_iter().max_by_key(size).unwrap();
        self.connection.set_input_focus(InputFocus::PARENT, top, x11rb::CURRENT_TIME).unwrap();
        self.connection.sync().unwrap();
    }

    fn keycode(&self, symbol: u32) -> (u8, bool) {
        let (low, per_key, symbols) = &self.keys;
        let at = symbols.iter().position(|s| *s == symbol).unwrap_or_else(|| panic!("no key for {symbol:#x}"));
        (low + (at / per_key) as u8, at % per_key == 1)
    }

    fn send(&self, kind: u8, code: u8) {
        self.connection.xtest_fake_input(kind, code, x11rb::CURRENT_TIME, self.root, 0, 0, 0).unwrap();
        self.connection.sync().unwrap();
        // Pressed and released within one frame, a key is still seen; a moment keeps the order of many.
        std::thread::sleep(Duration::from_millis(30));
    }

    /// One key, with those that are held.
    fn press(&self, symbol: u32, held: &[u32]) {
        let (code, shifted) = self.keycode(symbol);
        let held: Vec<u8> = held.iter().copied().chain(shifted.then_some(SHIFT)).map(|s| self.keycode(s).0).collect();
        held.iter().for_each(|code| self.send(KEY_PRESS_EVENT, *code));
        self.send(KEY_PRESS_EVENT, code);
        self.send(KEY_RELEASE_EVENT, code);
        held.iter().rev().for_each(|code| self.send(KEY_RELEASE_EVENT, *code));
    }

    fn type_text(&self, text: &str) {
        text.chars().for_each(|letter| self.press(letter as u32, &[]));
    }

    /// RGB of every pixel, row by row.
    fn pixels(&self) -> Vec<[u8; 3]> {
        let [width, height] = SIZE.map(|n| n as u16);
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, self.root, 0, 0, width, height, !0).unwrap().reply().unwrap();
        image.data.chunks_exact(4).map(|bgrx| [bgrx[2], bgrx[1], bgrx[0]]).collect()
    }

    /// Looks again until what is seen is `right`.
    fn until(&self, what: &str, right: impl Fn(&[[u8; 3]]) -> bool) -> Vec<[u8; 3]> {
        let since = Instant::now();
        loop {
            let pixels = self.pixels();
            if right(&pixels) {
                return pixels;
            }
            assert!(since.elapsed() < Duration::from_mins(1), "{what}: not seen within a minute");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// In the rollout's color, vermillion, or on the edge of something that is.
fn is_of_rollout([r, g, b]: &[u8; 3]) -> bool {
    *r > 100 && u16::from(*r) * 2 > u16::from(*g) * 3 && *b < 70
}

fn brightness(pixels: &[[u8; 3]]) -> f64 {
    pixels.iter().flatten().map(|v| f64::from(*v)).sum::<f64>() / (pixels.len() * 3) as f64
}

/// The line at the rollout's start: the first column in which its color runs through most of the timeline.
fn start_line(pixels: &[[u8; 3]]) -> Option<usize> {
    let timeline = SIZE[1] / 8..SIZE[1] * 3 / 8;
    (0..SIZE[0]).find(|x| timeline.clone().filter(|y| is_of_rollout(&pixels[y * SIZE[0] + x])).count() > timeline.len() * 3 / 4)
}

#[test]
fn real_keys_move_what_is_seen() {
    let Some((_server, display)) = display() else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = Command::new(env!("CARGO_BIN_EXE_driftscope"))
        .args(["--device", "cpu"])
        .env("DISPLAY", &display)
        .env_remove("WAYLAND_DISPLAY")
        .env("DRIFTSCOPE_DATA", folder.path())
        .env("DRIFTSCOPE_TRACE", "1")
        .env("XDG_RUNTIME_DIR", folder.path())
        .stderr(Stdio::piped())
        .spawn();
    let mut program = Process(program.unwrap());
    let mut lines = BufReader::new(program.0.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("start to complete window")), "the window was never complete");
    // What else it says is read, so that it never waits for a reader.
    let rest = std::thread::spawn(move || lines.count());

    let screen = Screen::open(&display);
    screen.focus();
    let drawn = |pixels: &[[u8; 3]]| pixels.iter().filter(|p| is_of_rollout(p)).count() > 3_000;
    let pixels = screen.until("the rollout's start and wave", |pixels| start_line(pixels).is_some() && drawn(pixels));
    let start = start_line(&pixels).unwrap();

    // Five frames later.
    (0..5).for_each(|_| screen.press('.' as u32, &[]));
    screen.until("a later start", |pixels| start_line(pixels).is_some_and(|later| later > start + 20));

    // The palette finds the themes.
    let theme = |name: &str| {
        screen.press('k' as u32, &[CONTROL]);
        screen.type_text(name);
        screen.press(RETURN, &[]);
    };
    theme("theme: light");
    screen.until("a light window", |pixels| brightness(pixels) > 170.0);
    theme("theme: dark");
    screen.until("a dark window", |pixels| brightness(pixels) < 80.0);

    screen.press('q' as u32, &[CONTROL]);
    let since = Instant::now();
    let status = loop {
        if let Some(status) = program.0.try_wait().unwrap() {
            break status;
        }
        assert!(since.elapsed() < Duration::from_mins(1), "ctrl+Q does not end it");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(0));
    rest.join().unwrap();
    assert!(folder.path().join("sessions/demo.json").exists(), "the session is kept");
}
