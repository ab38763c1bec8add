"""Devices that steps can be run on, one file for each kind, behind `base.Device`."""
