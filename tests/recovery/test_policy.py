from __future__ import annotations

import pytest

from recovery import policy
from recovery.policy import DEFAULT, BadPolicy, parse


def test_an_empty_policy_is_the_default_one() -> None:
    assert parse("") == DEFAULT
    assert DEFAULT.max_attempts == 3
    assert DEFAULT.resume_for_s == 24 * 3600


def test_what_a_policy_leaves_out_stays_as_it_is_and_a_list_replaces_the_list() -> None:
    own = parse('sensitive_steps = ["launch*"]\nresume_for = "90m"')
    assert own.sensitive_step("launch rocket") == "launch*"
    assert own.sensitive_step("checkout") == ""
    assert own.sensitive_urls == DEFAULT.sensitive_urls
    assert (own.max_attempts, own.resume_for_s) == (3, 5400)


@pytest.mark.parametrize(
    "name",
    [
        "checkout",
        "Checkout page",
        "goToCheckout",
        "check-out",
        "pay",
        "pay_now",
        "payment",
        "place order",
        "order",
        "change password",
        "PasswordReset",
        "settings",
        "account_settings",
        "transfer funds",
        "delete account",
        "deleting",
        "2fa",
        "enable2FA",
        "2-factor setup",
        "Two-Factor",
        "MFA",
        "ＣＨＥＣＫＯＵＴ",
        "change e-mail, change email",
    ],
)
def test_the_default_policy_knows_sensitive_steps(name: str) -> None:
    assert DEFAULT.sensitive_step(name) != ""


@pytest.mark.parametrize(
    "name",
    ["open page", "search", "read inbox", "scroll", "border", "repay-ment", "look around"],
)
def test_the_default_policy_lets_plain_steps_be(name: str) -> None:
    assert DEFAULT.sensitive_step(name) == ""


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/checkout",
        "https://shop.example:8443/en/Checkout/step-2?x=1",
        "http://shop.example/%63heckout",
        "https://shop.example/index.php?route=checkout/cart",
        "https://shop.example/#/checkout",
        "https://shop.example/app#!/user/settings",
        "https://mail.example/account/password/change",
        "https://mail.example/setup-2fa",
        "https://www.paypal.com/",
        "https://paypal.com/home",
        "https://PAYPAL.com./x",
        "https://x.example/users/5/delete",
    ],
)
def test_the_default_policy_knows_sensitive_pages(url: str) -> None:
    assert DEFAULT.sensitive_url(url) != ""


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/",
        "https://shop.example/catalogue?page=2",
        "http://127.0.0.1:8000/account",
        "http://127.0.0.1:8000/login",
        "https://paypal.com.evil.example/",
        "https://checkout.example/",
        "about:blank",
    ],
)
def test_the_default_policy_lets_plain_pages_be(url: str) -> None:
    assert DEFAULT.sensitive_url(url) == ""


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("sensitive_steps = [", "policy", "is not TOML"),
        ("x" * 70_000, "policy", "is too long"),
        ("sensitive_step = []", "sensitive_step", "is no key of a policy; the keys are sensitive_steps, "),
        ('sensitive_steps = "pay"', "sensitive_steps", 'is not a list; write it as ["one", "another"]'),
        ('sensitive_steps = ["pay", 3]', "sensitive_steps[1]", "is not a text; put it in quotes"),
        ('sensitive_steps = [""]', "sensitive_steps[0]", "is empty"),
        ('sensitive_steps = ["--"]', "sensitive_steps[0]", "has no word in it"),
        ('sensitive_steps = ["pay?"]', "sensitive_steps[0]", "the only wildcard is *"),
        ('sensitive_steps = [" pay"]', "sensitive_steps[0]", "white space"),
        (f'sensitive_steps = ["{"p" * 201}"]', "sensitive_steps[0]", "is too long"),
        (f"sensitive_steps = {['pay'] * 1001}", "sensitive_steps", "too many patterns"),
        ('sensitive_urls = ["https://x/y"]', "sensitive_urls[0]", "has a scheme; leave it out"),
        ('sensitive_urls = ["/checkout"]', "sensitive_urls[0]", "begins with no host"),
        ('sensitive_urls = ["x:80/y"]', "sensitive_urls[0]", "has a port"),
        ("max_attempts = 0", "max_attempts", "is out of range; send 1 to 100"),
        ("max_attempts = true", "max_attempts", "is not a whole number"),
        ("max_attempts = 2.5", "max_attempts", "is not a whole number"),
        ("resume_for = 24", "resume_for", "is not a time"),
        ('resume_for = "24 hours"', "resume_for", "is not a time"),
        ('resume_for = "59s"', "resume_for", "is out of range"),
        ('resume_for = "31d"', "resume_for", "is out of range"),
    ],
)
def test_a_bad_policy_is_refused_with_field_value_and_remedy(text: str, field: str, said: str) -> None:
    with pytest.raises(BadPolicy) as caught:
        parse(text)
    assert caught.value.field == field
    assert caught.value.remedy
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_host_pattern_with_a_leading_star_means_the_domain_and_all_below_it() -> None:
    own = parse('sensitive_urls = ["*.bank.example", "intra*.example/hr"]')
    assert own.sensitive_url("https://bank.example/x")
    assert own.sensitive_url("https://a.b.bank.example")
    assert not own.sensitive_url("https://mybank.example/")
    assert own.sensitive_url("https://intranet.example/en/HR/staff")
    assert not own.sensitive_url("https://intranet.example/chris")


def test_the_parts_of_a_pattern_stand_one_after_another() -> None:
    own = parse('sensitive_urls = ["*/profile/edit*"]\nsensitive_steps = ["new api key*"]')
    assert own.sensitive_url("https://x.example/en/profile/edit-name")
    assert not own.sensitive_url("https://x.example/profile/posts/edit")
    assert own.sensitive_step("make new API keys now")
    assert not own.sensitive_step("new key api")


def test_the_most_patterns_are_matched_in_no_time() -> None:
    own = parse(f"sensitive_steps = {['*a*a*a*a*b'] * policy.MAX_PATTERNS}")
    assert own.sensitive_step("a" * 128) == ""
