"""Emacs with eglot, as docs/editors.md sets it up, against the real language server.

It needs Debian's `emacs-nox` and `elpa-eglot`. Eglot knows no ghost text: suggestions come by
`textDocument/completion`. What the model says is given by a server of the tests.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lsp_client import COMMAND, environment
from tests.recorder import recording

CODE = "def add(a, b):\n    return "
TAKE = """
(require 'json)
(package-initialize)
(require 'eglot)
(setq eglot-sync-connect 60 eglot-connect-timeout 60 make-backup-files nil)
(add-to-list 'eglot-server-programs (cons 'python-mode (split-string (getenv "COMMAND") "\\t")))
(find-file "work.py")
(apply #'eglot (append (eglot--guess-contact) '(t)))
(goto-char (point-max))
(defun offered () (all-completions "" (nth 2 (eglot-completion-at-point))))
;; The model's server is looked for meanwhile: until it is there nothing is offered.
(let ((tries 0))
  (while (and (null (setq before (offered))) (< (setq tries (1+ tries)) 200))
    (accept-process-output nil 0.1)))
(setq completion-at-point-functions '(eglot-completion-at-point t))
(completion-at-point)
(princ "\n")
(princ (json-encode `((mode . ,(symbol-name major-mode))
                      (offered . ,(vconcat (mapcar #'substring-no-properties before)))
                      (text . ,(buffer-string)))))
(set-buffer-modified-p nil)
(eglot-shutdown (eglot-current-server))
"""


@pytest.fixture
def emacs() -> str:
    found = shutil.which("emacs")
    if found is None:
        pytest.skip("no Emacs here: apt-get install emacs-nox elpa-eglot")
    return found


def test_a_suggestion_is_offered_by_eglot_and_taken(
    emacs: str, bare_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "work.py").write_text(CODE)
    (tmp_path / "take.el").write_text(TAKE)
    with recording({"id": "given"}, answer="first_number + second_number\n") as model:
        done = subprocess.run(
            [emacs, "--batch", "-l", "take.el"],
            cwd=tmp_path,
            env={
                **environment(bare_home),
                "HOME": str(tmp_path),
                "COMMAND": "\t".join(COMMAND),
                "TANDEM_ENDPOINT": model.url,
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {
        "mode": "python-mode",
        "offered": ["first_number + second_number"],
        "text": f"{CODE}first_number + second_number",
    }
