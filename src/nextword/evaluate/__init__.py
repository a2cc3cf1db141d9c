"""How well a model does what it was trained for. Modules move here from `learn`."""
