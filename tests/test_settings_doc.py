"""The settings page says what the code does."""

from tandem import settings_doc


def test_the_settings_page_is_up_to_date() -> None:
    assert settings_doc.PAGE.read_text("utf-8") == settings_doc.render(), (
        "run: python -m tandem.settings_doc"
    )
