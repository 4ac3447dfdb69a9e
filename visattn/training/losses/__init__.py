"""Losses: functions of tensors, which objectives put together."""
