//! The Gaussian error linear unit in its exact (erf) form, and the exponential it rests on, as straight-line code that a compiler
//! turns into vector instructions inside [`vectorized`](crate::simd::vectorized).
//!
//! x·Φ(x) needs Φ only where it is small: 2·Φ(−u) = e^{u·Q(u)} with one polynomial Q for all u = |x| in [0, 14], beyond which Φ(−u)
//! is 0 in f32. No branch, no cancellation in the lower tail: there the relative error is that of the exponent, where
//! ½x(1 + erf(x/√2)) has lost every digit at x = −5.5.
#![expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]

/// Q, constant term first: weighted minimax fit of ln(2Φ(−u))/u on [0, 14], in f64; the fit adds at most 1e-8 to x·Φ(x).
const Q: [f32; 12] = [
    -0.797_884_76,
    -0.318_307,
    -0.036_348_35,
    0.004_807_157,
    1.376_730_6e-5,
    -2.055_861_3e-4,
    5.885_016_4e-5,
    -9.410_971e-6,
    9.396_687e-7,
    -5.757_003_8e-8,
    1.972_577_7e-9,
    -2.887_248_8e-11,
];
/// 1/√(2π).
const FRAC_1_SQRT_2PI: f32 = 0.398_942_3;
/// Where Φ(−u) has long been 0 in f32.
const BEYOND: f32 = 14.0;

/// x·Φ(x). Within 3e-7·max(|x|, 1) of the exact value, and within 0.1 % of it wherever |x·Φ(x)| > 1e-8; NaN gives NaN.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    x * normal_cdf(x)
}

/// [`gelu`] and its derivative Φ(x) + x·φ(x), within 5e-7.
#[inline(always)]
pub fn gelu_and_slope(x: f32) -> (f32, f32) {
    let cdf = normal_cdf(x);
    let density = FRAC_1_SQRT_2PI * exp(-0.5 * x * x);
    (x * cdf, cdf + x * density)
}

/// Φ(x), the standard normal's distribution function.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    let magnitude = x.abs();
    let u = if magnitude > BEYOND { BEYOND } else { magnitude };
    let mut q = Q[11];
    for &c in Q[..11].iter().rev() {
        q = q * u + c;
    }
    let lower = 0.5 * exp(q * u);
    if x > 0.0 { 1.0 - lower } else { lower }
}

/// e^x within 2 units in the last place; 0 below −87.3, where the result would be subnormal, and ∞ above 88.7; NaN gives NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Neither comparison holds for NaN, which goes through.
    let inside = if x > 89.0 { 89.0 } else { x };
    let inside = if inside < -88.0 { -88.0 } else { inside };
    let (e, n) = reduced(inside);
    // 2ⁿ in two factors, since 2¹²⁸ alone is no f32.
    let half = n >> 1;
    let rest = n.wrapping_sub(half);
    let y = e * power(half) * power(rest);
    if x < -87.3 { 0.0 } else { y }
}

/// [`exp`] for x up to 88, 1e-38 where that is less; in fewer steps.
#[inline(always)]
pub(crate) fn exp_below(x: f32) -> f32 {
    let (e, n) = reduced(if x < -87.0 { -87.0 } else { x });
    e * power(n)
}

/// e^x as `(e, n)`: e·2ⁿ, with e between √½ and √2.
#[inline(always)]
fn reduced(x: f32) -> (f32, i32) {
    // Adding 1.5·2²³ rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_145_75;
    const LN2_LOW: f32 = 1.428_606_8e-6;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let f = (x - n * LN2_HIGH) - n * LN2_LOW;
    // e^f on ±ln 2/2: Taylor's first terms with the last ones adjusted (Cephes expf).
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
        p = p * f + c;
    }
    (p * f * f + f + 1.0, (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32))
}

/// 2ⁿ for −126 ≤ n ≤ 127.
#[inline(always)]
fn power(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `value ← gelu(value)` for every value.
pub fn gelu_in_place(values: &mut [f32]) {
    crate::simd::vectorized(
        #[inline(always)]
        || {
            for v in values {
                *v = gelu(*v);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x·Φ(x) in f64 by erfc's series (|x| < 3) or continued fraction.
    fn exact(x: f64) -> f64 {
        let u = x.abs();
        let density = (-0.5 * u * u).exp() / std::f64::consts::TAU.sqrt();
        let upper = if u < 3.0 {
            // Φ(u) − ½ = φ(u)·(u + u³/3 + u⁵/15 + …)
            let (mut term, mut sum, mut n) = (u, u, 1.0);
            while term > sum * 1e-17 {
                n += 2.0;
                term *= u * u / n;
                sum += term;
            }
            0.5 - density * sum
        } else {
            density / (1..200).rev().fold(u, |tail, k| u + f64::from(k) / tail)
        };
        x * if x > 0.0 { 1.0 - upper } else { upper }
    }

    #[test]
    fn gelu_is_the_exact_one() {
        let mut values: Vec<f32> = (-300_000..=300_000).map(|i| i as f32 * 5e-5).collect();
        let inputs = values.clone();
        gelu_in_place(&mut values);
        for (&x, &y) in inputs.iter().zip(&values) {
            let want = exact(f64::from(x));
            let apart = (f64::from(y) - want).abs();
            assert!(apart <= 3e-7 * f64::from(x.abs().max(1.0)), "gelu({x}) = {y}, not {want}");
            assert!(want.abs() < 1e-8 || apart <= 1e-3 * want.abs(), "gelu({x}) = {y}, not {want}");
        }
        assert_eq!([-1e30_f32, -0.0, 0.0, 20.0, f32::INFINITY].map(gelu), [0.0, 0.0, 0.0, 20.0, f32::INFINITY]);
        assert!(gelu(f32::NAN).is_nan() && !gelu(f32::NEG_INFINITY).is_finite());
    }

    #[test]
    fn slope_is_the_derivative() {
        for i in -2_000..=2_000 {
            let x = f64::from(i) * 5e-3;
            let want = (exact(x + 1e-5) - exact(x - 1e-5)) / 2e-5;
            let (value, slope) = gelu_and_slope(x as f32);
            assert_eq!(value, gelu(x as f32));
            assert!((f64::from(slope) - want).abs() < 1e-6, "gelu'({x}) = {slope}, not {want}");
        }
        assert!(gelu_and_slope(f32::NAN).1.is_nan());
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for i in -870_000..=887_000 {
            let x = i as f32 * 1e-4;
            let want = f64::from(x).exp();
            assert!((f64::from(exp(x)) - want).abs() <= 2.4e-7 * want, "exp({x}) = {}, not {want}", exp(x));
        }
        assert_eq!([f32::NEG_INFINITY, -1e5, -87.5, 0.0, 89.0, f32::INFINITY].map(exp), [0.0, 0.0, 0.0, 1.0, f32::INFINITY, f32::INFINITY]);
        assert!(exp(f32::NAN).is_nan());
    }
}
