//! The von Mises-Fisher distribution: its log-normalizer in f64 for any D ≥ 2, and its f32 form for the device.
