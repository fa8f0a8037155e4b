//! One training loop for whatever can be trained.
//!
//! A [`Task`] brings its module, its loss and its batches; the loop brings AdamW, gradient clipping, the learning-rate schedule,
//! progress, cancel, checkpoints and exact resume. It knows nothing of predictors or codecs.
