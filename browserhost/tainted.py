"""Which calls of DevTools clients may leave something in a page that outlasts the client. Pure.

Of such a page nobody knows what it would do next, so it is not handed on. Input is a person's means as
well, and what a navigation leaves is what the site makes of it; both are the account's own doing. All
else that is not known to look only is taken to leave something, whatever it says of itself.
"""

from __future__ import annotations

from browserhost.witness.touch import observes

_THE_ACCOUNTS_OWN = frozenset(
    {
        "Input.dispatchKeyEvent",
        "Input.dispatchMouseEvent",
        "Input.dispatchTouchEvent",
        "Input.insertText",
        "Page.bringToFront",
        "Page.handleJavaScriptDialog",
        "Page.navigate",
        "Page.navigateToHistoryEntry",
        "Page.reload",
    }
)


def leaves(method: str) -> bool:
    """Whether a call may leave something behind."""
    return method not in _THE_ACCOUNTS_OWN and not observes(method)
