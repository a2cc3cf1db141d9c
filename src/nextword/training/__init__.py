"""Text → better weights. Modules move here from `learn` as they are rewritten."""
