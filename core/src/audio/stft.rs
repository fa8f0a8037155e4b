//! Short-time Fourier analysis and synthesis, and mel filterbanks.
