# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers of the fixture scripts; the reference implementation is transformers."""
