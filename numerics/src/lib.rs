//! The two generic numeric libraries that everything above uses, instantiated once for the number types of this project, and
//! the few loops over memory that training and forward passes wait for.
//!
//! rustfft and faer are compiled where their type parameters are chosen: some six thousand functions that would otherwise be
//! optimized again with every change of `driftscope-core`. Nothing of the domain is here.

pub mod activation;
pub mod attention;
pub mod dense;
pub mod elementwise;
pub mod fourier;
pub mod gelu;
pub mod linear;
mod pages;
mod panel;
pub mod simd;
