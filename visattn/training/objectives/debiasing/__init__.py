"""Published ways to train past a shortcut without groups, held against `LabelFocus`."""
