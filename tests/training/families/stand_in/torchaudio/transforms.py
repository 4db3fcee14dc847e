"""Mel spectrograms as torchaudio works them out with the arguments it is given here."""

from typing import Any

import torch


class MelSpectrogram(torch.nn.Module):
    """Power spectrogram of Hann windows on HTK mel bands: (…, samples) → (…, bands, frames)."""

    def __init__(self, sample_rate: int, n_fft: int, win_length: int, hop_length: int, n_mels: int) -> None:
        from transformers.audio_utils import mel_filter_bank  # which, where this is on the path, imports this

        super().__init__()
        bank = mel_filter_bank(n_fft // 2 + 1, n_mels, 0.0, sample_rate / 2, sample_rate, norm=None, mel_scale="htk")
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(win_length))
        self.register_buffer("bank", torch.from_numpy(bank).float())

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        window: Any = self.window
        frames = torch.stft(
            samples, self.n_fft, self.hop_length, len(window), window, pad_mode="reflect", return_complex=True
        )
        return (frames.abs().square().mT @ self.bank).mT
