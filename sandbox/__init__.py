"""A patch must prove itself: `tandem fix`, from a failing test to a patch with evidence.

`fix` is one run, stage by stage: `worktree` copies the repository, `image`, `pool` and `container`
make the sandboxes, `suite` and `tester` run tests in them (`inside` is what runs there), `baseline` and
`localize` find what fails and where, `repair` proposes, `validate` tries, `choose` checks, `verdict`
judges from outside, `report` tells, `apply` writes after a yes, `audit` keeps a log that shows if it was
changed. `probes` try to break out. May import `completion` and the shared modules of `tandem`.
"""
