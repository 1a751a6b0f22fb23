"""Which calls of DevTools clients may leave something that outlasts the client, in a page or beyond. Pure.

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

_LASTS = frozenset(
    {
        "Browser.addPrivacySandboxEnrollmentOverride",
        "Browser.setGlobalPrivacyControl",
        "Memory.setPressureNotificationsSuppressed",
        "Memory.startSampling",
        "Security.handleCertificateError",
        "Security.setIgnoreCertificateErrors",
        "Security.setOverrideCertificateErrors",
    }
)
"""Chrome 156 does not undo these when the client leaves: a bad certificate that was let pass is let pass in
every tab until the browser ends. Of the others too it says so, or nothing shows that it does.
"""


def lasts(method: str) -> bool:
    """Whether what a call does goes on until the browser ends, whatever page is handed on."""
    return method in _LASTS


def leaves(method: str) -> bool:
    """Whether a call may leave something behind."""
    return method not in _THE_ACCOUNTS_OWN and not observes(method)
