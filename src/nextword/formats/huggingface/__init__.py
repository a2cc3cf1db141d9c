"""A model on disk: Hugging Face's layout in and out, for the families that the field uses."""

from nextword.formats.huggingface.families import FAMILIES, family_of
from nextword.formats.huggingface.model_card import CardFacts, model_card
from nextword.formats.huggingface.save_load import LoadedModel, load_model, save_model

__all__ = [
    "FAMILIES",
    "CardFacts",
    "LoadedModel",
    "family_of",
    "load_model",
    "model_card",
    "save_model",
]
