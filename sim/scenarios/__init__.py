"""Scenarios: the tasks of eight sectors at four environment levels, as files, and what runs them.

`scenario` reads a file, `draws` what differs from trial to trial, `fixtures/` builds, `scene` puts it together with a
robot and its `tool`, `families/` know the kinds of tasks with their scripted policies, `trial` runs and judges one.
"""
