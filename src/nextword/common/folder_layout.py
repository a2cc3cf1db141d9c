"""The names of the files in a model's folder."""

CONFIG, GENERATION = "config.json", "generation_config.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
TEMPLATE, CARD, SUMS = "chat_template.jinja", "README.md", "SHA256SUMS"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
SMALL_FILES = (  # what a model depends on, besides its weights
    CONFIG,
    GENERATION,
    TOKENIZER,
    TOKENIZER_CONFIG,
    SPECIAL_TOKENS,
    TEMPLATE,
    INDEX,
)
