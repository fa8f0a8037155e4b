//! Every shader is valid, and what it draws on the software adapter is what its CPU twin draws.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use driftscope_core::engine::display::{Image, Source, spectrogram, trajectory};
use driftscope_core::engine::{Resident, WgpuSetup, shareable};

pub(crate) const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

#[test]
fn every_shader_is_valid() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shaders");
    let mut n_files = 0;
    for kind in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in
            fs::read_dir(kind).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "wgsl"))
        {
            let wgsl = fs::read_to_string(&file).unwrap();
            let module = naga::front::wgsl::parse_str(&wgsl).unwrap_or_else(|e| panic!("{}: {}", file.display(), e.emit_to_string(&wgsl)));
            let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
            validator.validate(&module).unwrap_or_else(|e| panic!("{}: {}", file.display(), e.emit_to_string(&wgsl)));
            n_files += 1;
        }
    }
    assert!(n_files >= 10, "{n_files} shaders were found");
}

/// One device for all tests here: Vulkan loaders do not like instances that come and go on several threads.
pub(crate) fn setup() -> &'static WgpuSetup {
    static SETUP: OnceLock<WgpuSetup> = OnceLock::new();
    SETUP.get_or_init(|| {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let mut adapters =
            pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12));
        // The same picture everywhere: software before hardware.
        adapters.sort_by_key(|adapter| adapter.get_info().device_type != wgpu::DeviceType::Cpu);
        let adapter = adapters.into_iter().next().expect("a graphics adapter is needed: on Debian, apt install mesa-vulkan-drivers");
        let info = adapter.get_info();
        #[expect(clippy::print_stderr, reason = "a run says which adapter it used")]
        {
            eprintln!("shaders drawn by {} ({:?}, {} {})", info.name, info.backend, info.driver, info.driver_info);
        }
        let (device, queue) = pollster::block_on(adapter.request_device(&shareable(&adapter))).unwrap();
        WgpuSetup { instance, adapter, device, queue, backend: info.backend }
    })
}

/// The same without what it was made of.
pub(crate) fn gpu() -> (&'static wgpu::Device, &'static wgpu::Queue) {
    (&setup().device, &setup().queue)
}

/// What `paint` draws into a transparent target, as the CPU twin's pixels.
pub(crate) fn drawn(width: usize, height: usize, paint: impl FnOnce(&mut wgpu::RenderPass<'_>)) -> Image {
    let (device, queue) = gpu();
    let size = wgpu::Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 };
    let target = device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: FORMAT,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    let row = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: (row * height) as u64,
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let view = target.create_view(&wgpu::TextureViewDescriptor::default());
        let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::TRANSPARENT), store: wgpu::StoreOp::Store };
        let attachment = wgpu::RenderPassColorAttachment { view: &view, depth_slice: None, resolve_target: None, ops };
        paint(&mut encoder.begin_render_pass(&wgpu::RenderPassDescriptor { color_attachments: &[Some(attachment)], ..Default::default() }));
    }
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row as u32), rows_per_image: None };
    encoder.copy_texture_to_buffer(target.as_image_copy(), wgpu::TexelCopyBufferInfo { buffer: &buffer, layout }, size);
    queue.submit([encoder.finish()]);
    buffer.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let bytes = buffer.get_mapped_range(..).unwrap();
    let pixel = |at: usize| -> [f32; 4] { std::array::from_fn(|c| f32::from(bytes[at + c]) / 255.0) };
    Image { width, height, pixels: (0..width * height).map(|i| pixel(i / width * row + i % width * 4)).collect() }
}

/// Shares of channels that differ by more than one step of 8 bits, and the largest difference.
pub(crate) fn difference(a: &Image, b: &Image) -> (f64, f32) {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let differences: Vec<f32> = a.pixels.as_flattened().iter().zip(b.pixels.as_flattened()).map(|(a, b)| (a - b).abs()).collect();
    let apart = differences.iter().filter(|d| **d > 1.01 / 255.0).count();
    (apart as f64 / differences.len() as f64, differences.iter().copied().fold(0.0, f32::max))
}

fn spiral(n_points: usize, turns: f32, color_high: [f32; 4], width_px: f32) -> trajectory::Path {
    let point = |i: usize| {
        let t = i as f32 / (n_points - 1) as f32;
        let (sin, cos) = (t * turns * std::f32::consts::TAU).sin_cos();
        [cos * (1.0 + t), sin * (1.0 + t), 3.0 * t, t]
    };
    trajectory::Path { points: (0..n_points).map(point).collect(), color_low: [0.9, 0.9, 0.9, 1.0], color_high, width_px }
}

#[test]
fn trajectories_look_like_those_of_the_cpu() {
    let (device, _) = gpu();
    let pipeline = trajectory::Pipeline::new(device, FORMAT);
    let mut broken = spiral(60, 2.0, [0.84, 0.37, 0.0, 0.6], 5.0);
    broken.points[30] = [f32::NAN; 4];
    for (paths, yaw, pitch, width, height) in [
        (vec![spiral(200, 3.0, [0.0, 0.45, 0.7, 1.0], 2.5)], 0.4, 0.3, 301, 200),
        (vec![spiral(40, 1.5, [0.0, 0.0, 0.0, 1.0], 1.0), broken], -2.0, 1.2, 150, 260),
    ] {
        let orbit = trajectory::Orbit { yaw, pitch, ..trajectory::Orbit::around(&paths) };
        let twin = trajectory::draw(&paths, &orbit, width, height);
        let placed: Vec<_> = paths.iter().map(|path| path.along(Resident::upload(device, path.points.as_flattened()))).collect();
        let prepared = pipeline.prepare(device, &placed, &orbit, [width as f32, height as f32]);
        let image = drawn(width, height, |pass| prepared.paint(pass));
        assert!(twin.pixels.iter().filter(|p| p[3] > 0.9).count() > 100, "something is drawn");
        let (apart, largest) = difference(&image, &twin);
        // Each of several covering segments is rounded to 8 bits on the GPU, once in the twin.
        assert!(apart < 0.01 && largest < 0.03, "{:.3} % of the channels differ, by up to {largest}", 100.0 * apart);
    }
}

#[test]
fn spectrograms_look_like_those_of_the_cpu() {
    let (device, _) = gpu();
    let pipeline = spectrogram::Pipeline::new(device, FORMAT);
    let (n_frames, n_bins) = (700, 129);
    let level = |i: usize| -90.0 + 95.0 * ((i / n_bins) as f32 * 0.031).sin().abs() * ((i % n_bins) as f32 * 0.17).cos();
    let levels: Vec<f32> = (0..n_frames * n_bins).map(level).collect();
    let colors: [[u8; 4]; 256] = std::array::from_fn(|i| [i as u8, (i * i / 255) as u8, 255 - i as u8, 255]);
    let uploaded = Source::from(levels.as_slice()).on(device);
    let whole = spectrogram::View::whole(n_frames, n_bins, -80.0..0.0, colors);
    let close = spectrogram::View { frames: 101.3..117.9, bins: 20.2..41.7, ..whole.clone() };
    let beyond = spectrogram::View { frames: -50.4..900.7, bins: 3.1..200.3, ..whole.clone() };
    for view in [whole, close, beyond] {
        let twin = spectrogram::draw(&levels, n_bins, &view, 333, 97);
        let prepared = pipeline.prepare(device, &uploaded, n_bins, &view, [333.0, 97.0]);
        let image = drawn(333, 97, |pass| prepared.paint(pass));
        let (apart, _) = difference(&image, &twin);
        // A pixel's edge may fall on a cell's edge, and then rounding decides.
        assert!(apart < 0.005, "{:.3} % of the channels differ in {:?} {:?}", 100.0 * apart, view.frames, view.bins);
    }
    let nothing = pipeline.prepare(device, &uploaded.part(0..0), n_bins, &spectrogram::View::whole(1, 1, 0.0..1.0, colors), [8.0, 8.0]);
    assert!(drawn(8, 8, |pass| nothing.paint(pass)).pixels.iter().all(|p| *p == [0.0; 4]), "no levels, no picture");
}
