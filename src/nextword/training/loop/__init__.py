"""The training loop. Modules move here from `learn` as they are rewritten."""
