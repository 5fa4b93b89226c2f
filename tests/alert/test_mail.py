"""E-mail, to a real mail server with TLS; and Apprise, to a real HTTP server."""

import email.policy

import pytest

from otel_llm.alert import apprised, carriage, mail
from otel_llm.alert.body import Batch
from otel_llm.alert.receiver import Apprise, Email, Secret
from otel_llm.ledger import Message
from parts.receivers import mail_server


def message(status="firing", name="Errors", *, summary="12% fail", starts_at=1_800_000_000.0):
    return Message(
        status=status,
        labels={"alertname": name, "severity": "critical"},
        annotations={"summary": summary, "value": "0.12"},
        starts_at=starts_at,
        ends_at=None if status == "firing" else starts_at + 60,
        fingerprint=f"fp-{name}",
        episode=1,
    )


def batch(*messages):
    return Batch(receiver="mail", group="{}", labels={}, messages=messages)


def to(box, trust=None, *, tls="starttls", login=(None, None)):
    return Email(
        host="localhost",
        port=box.port,
        tls=tls,
        sender="Ops <ops@example.org>",
        to=("a@example.org", "b@example.org"),
        ca_file=None if trust is None else str(trust.ca_file),
        username=login[0] and Secret(variable=login[0]),
        password=login[1] and Secret(variable=login[1]),
    )


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_mail_goes_over_an_encrypted_connection(trust, tls):
    with mail_server(trust, tls=tls) as box:
        assert mail.send(to(box, trust, tls=tls), batch(message())).outcome == "sent"
    assert box.secured == [tls == "starttls"]  # what is encrypted from the first byte has no word for it
    assert box.envelopes[0].rcpt_tos == ["a@example.org", "b@example.org"]
    assert box.mails[0]["Subject"] == "[FIRING] Errors: 12% fail"
    assert box.mails[0]["Auto-Submitted"] == "auto-generated"
    assert "value 0.12" in box.mails[0].get_body(("plain",)).get_content()
    assert "<pre>" in box.mails[0].get_body(("html",)).get_content()


def test_the_end_answers_the_beginning(trust):
    with mail_server(trust) as box:
        mail.send(to(box, trust), batch(message()))
        mail.send(to(box, trust), batch(message("resolved")))
    firing, resolved = box.mails
    assert resolved["Subject"] == "[RESOLVED] Errors: 12% fail"
    assert resolved["In-Reply-To"] == firing["Message-ID"]
    assert resolved["References"] == firing["Message-ID"]
    assert "In-Reply-To" not in firing


def test_the_end_of_one_of_several_names_the_mail_that_told_of_them(trust):
    with mail_server(trust) as box:
        mail.send(to(box, trust), batch(message(name="A"), message(name="B")))
        mail.send(to(box, trust), batch(message("resolved", "B")))
    firing, resolved = box.mails
    assert resolved["In-Reply-To"] in firing["References"]


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(trust):
    with mail_server(trust) as box:
        result = mail.send(to(box), batch(message()))
    assert (result.outcome, box.mails) == ("again", [])
    assert "certificate is not trusted" in result.error


def test_a_server_without_starttls_gets_no_mail(trust):
    with mail_server(trust, tls="none") as box:
        result = mail.send(to(box, trust), batch(message()))
    assert (result.outcome, box.mails) == ("again", [])


def test_a_server_on_this_machine_may_do_without_tls(trust):
    with mail_server(trust, tls="none") as box:
        assert mail.send(to(box, tls="none"), batch(message())).outcome == "sent"


def test_name_and_password_come_from_the_environment(trust, monkeypatch):
    monkeypatch.setenv("U", "me")
    monkeypatch.setenv("P", "right")
    with mail_server(trust, login=True) as box:
        assert mail.send(to(box, trust, login=("U", "P")), batch(message())).outcome == "sent"
        monkeypatch.setenv("P", "wrong")
        result = mail.send(to(box, trust, login=("U", "P")), batch(message()))
    assert box.logins[0] == (b"me", b"right")
    assert (result.outcome, result.error) == ("dead", "SMTP 535")


@pytest.mark.parametrize(("reply", "outcome"), [("451 later", "again"), ("554 no", "dead")])
def test_a_refusal_for_now_is_tried_again_and_one_for_good_is_not(trust, reply, outcome):
    with mail_server(trust) as box:
        box.replies.append(reply)
        assert mail.send(to(box, trust), batch(message())).outcome == outcome


def test_nobody_listens_is_tried_again(free_port):
    class Nowhere:
        port = free_port()

    result = mail.send(to(Nowhere), batch(message()))
    assert (result.outcome, result.error) == ("again", "Connection refused")


def test_a_server_that_says_nothing_holds_nobody_for_long(hook, monkeypatch):
    monkeypatch.setattr(carriage, "TOTAL", 0.5)
    monkeypatch.setattr(mail, "TOTAL", 0.5)
    assert mail.send(to(hook, tls="none"), batch(message())).outcome == "again"


def test_a_label_cannot_add_a_header():
    class Box:
        port = 25

    text = mail.write(to(Box), batch(message(summary="x\r\nBcc: evil@example.org"))).as_bytes(policy=email.policy.SMTP)
    assert b"\r\nBcc:" not in text.partition(b"\r\n\r\n")[0]


def test_apprise_delivers_what_it_is_told(hook, monkeypatch):
    monkeypatch.setenv("URLS", f"json://localhost:{hook.port}/hook, json://localhost:{hook.port}/other")
    assert apprised.send(Apprise(urls=Secret(variable="URLS")), batch(message())).outcome == "sent"
    assert sorted(request.path for request in hook.requests) == ["/hook", "/other"]
    assert hook.requests[0].json["title"] == "[FIRING] Errors: 12% fail"


def test_apprise_that_fails_is_tried_again_and_an_unknown_address_is_not(monkeypatch, free_port):
    monkeypatch.setenv("URLS", f"json://localhost:{free_port()}/")
    assert apprised.send(Apprise(urls=Secret(variable="URLS")), batch(message())).outcome == "again"
    monkeypatch.setenv("URLS", "nothing-that-is-known://x")
    assert apprised.send(Apprise(urls=Secret(variable="URLS")), batch(message())).outcome == "dead"
