"""Speech features: AV-HuBERT's stacked filterbank and hidden states, and Wav2Lip's mel spectrogram."""
