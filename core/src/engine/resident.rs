//! Numbers that are on a graphics device.

use std::ops::Range;

use wgpu::util::DeviceExt as _;

/// Values in a buffer of a graphics device that nobody writes to any more. Clones are the same values.
#[derive(Clone, Debug, PartialEq)]
pub struct Resident {
    device: wgpu::Device,
    buffer: wgpu::Buffer,
    first: usize,
    len: usize,
}

impl Resident {
    /// All that `buffer` of `device` will hold once what was submitted is done: `len` values.
    pub(super) fn new(device: &wgpu::Device, buffer: wgpu::Buffer, len: usize) -> Self {
        Self { device: device.clone(), buffer, first: 0, len }
    }

    /// A copy of `values` on `device`.
    pub fn upload(device: &wgpu::Device, values: &[f32]) -> Self {
        // No values are a buffer of one, so that it can be bound.
        let contents = bytemuck::cast_slice(if values.is_empty() { &[0.0] } else { values });
        let buffer = device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage: USAGE });
        Self::new(device, buffer, values.len())
    }

    /// Whether they are on `device`, where alone they can be drawn.
    pub fn is_on(&self, device: &wgpu::Device) -> bool {
        self.device == *device
    }

    /// Those in `range`, in the same buffer.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        let end = range.end.min(self.len);
        let start = range.start.min(end);
        Self { first: self.first + start, len: end - start, ..self.clone() }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where they begin in [`Self::buffer`], counted in values.
    pub fn first(&self) -> u32 {
        self.first as u32
    }

    /// What holds them: may be copied from and bound as storage.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }
}

/// What a buffer is made with that becomes a [`Resident`].
pub(super) const USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);
