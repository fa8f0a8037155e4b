//! The gapless player: all sources resident at the device rate, one sample counter, switching changes only which buffer feeds the mix.
