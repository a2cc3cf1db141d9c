"""Text and what becomes of it: token ids, dialogues, corpora, samples."""
