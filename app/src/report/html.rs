//! The few pieces of HTML that the page is made of.

use base64::Engine as _;
use driftscope_core::audio::AudioClip;

/// Text with the characters that mean something in HTML taken out of action.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number for a table or a sentence.
pub(super) fn number(value: Option<f64>) -> String {
    match value {
        Some(v) if v.is_finite() && v.abs() < 1e4 => format!("{v:.3}").replace('-', "−"),
        Some(v) if v.is_finite() => format!("{v:.2e}").replace('-', "−"),
        _ => "–".to_owned(),
    }
}

/// A table whose first row is its head.
pub(super) fn table_with_head(rows: &[Vec<String>]) -> String {
    let line = |cells: &[String], tag: &str| {
        let cells: String = cells.iter().map(|c| format!("<{tag}>{}</{tag}>", escape(c))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let head = rows.first().map_or_else(String::new, |r| line(r, "th"));
    let body: String = rows.iter().skip(1).map(|r| line(r, "td")).collect();
    format!("<div class=\"scroll\"><table>\n{head}{body}</table></div>\n")
}

/// A table without a head.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let line = |cells: &Vec<String>| {
        let cells: String = cells.iter().map(|c| format!("<td style=\"text-align:left\">{}</td>", escape(c))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = rows.iter().map(line).collect();
    format!("<div class=\"scroll\"><table>\n{body}</table></div>\n")
}

/// `"Name: what it is"` as terms and descriptions.
pub(super) fn definition_list(definitions: &[String]) -> String {
    let entry = |definition: &String| {
        let (term, text) = definition.split_once(": ").unwrap_or(("", definition));
        format!("<dt>{}</dt><dd>{}</dd>\n", escape(term), escape(text))
    };
    format!("<dl>\n{}</dl>\n", definitions.iter().map(entry).collect::<String>())
}

/// 16-bit mono WAV in a data URI. Amplitudes beyond full scale are clipped, as a converter would.
pub(super) fn data_uri_wav(clip: &AudioClip) -> String {
    let n_bytes = 2 * clip.samples.len() as u32;
    let rate = clip.sample_rate_hz;
    let mut wav = Vec::with_capacity(44 + n_bytes as usize);
    wav.extend(b"RIFF");
    wav.extend((36 + n_bytes).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    // PCM, one channel.
    wav.extend([1, 0, 1, 0]);
    wav.extend(rate.to_le_bytes());
    wav.extend((2 * rate).to_le_bytes());
    // Two bytes a sample, 16 bits.
    wav.extend([2, 0, 16, 0]);
    wav.extend(b"data");
    wav.extend(n_bytes.to_le_bytes());
    for sample in &clip.samples {
        wav.extend(((sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16).to_le_bytes());
    }
    format!("data:audio/wav;base64,{}", base64::engine::general_purpose::STANDARD.encode(wav))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_survives_the_data_uri() {
        let clip = AudioClip { samples: vec![0.0, 0.5, -1.0, 3.0], sample_rate_hz: 16_000 };
        let uri = data_uri_wav(&clip);
        let bytes = base64::engine::general_purpose::STANDARD.decode(uri.strip_prefix("data:audio/wav;base64,").unwrap()).unwrap();
        let back = driftscope_core::audio::read_bytes(&bytes, "uri").unwrap();
        assert_eq!(back.sample_rate_hz, 16_000);
        for (got, wanted) in back.samples.iter().zip([0.0, 0.5, -1.0, 1.0]) {
            assert!((got - wanted).abs() < 1e-4, "{got} {wanted}");
        }
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("<b>\"a\" & b"), "&lt;b&gt;&quot;a&quot; &amp; b");
        assert_eq!(number(Some(-0.5)), "−0.500");
        assert_eq!(number(Some(f64::INFINITY)), "–");
    }
}
