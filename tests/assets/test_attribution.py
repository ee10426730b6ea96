"""What a stranger says of an asset stays one text of one line in ``attribution.md``."""

from redream.assets.attribution import write_attribution
from redream.types import Asset


def test_a_text_cannot_add_a_second_licence(tmp_path):
    evil = "x\n- license: cc0\r\n## another\u2028- author: me <script>"
    asset = Asset("a1", evil, license="by", author=evil, source=f"https://a.b/{evil}")
    write_attribution(f"a dog\n- license: {evil}", [asset], tmp_path / "a.md")
    lines = (tmp_path / "a.md").read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith("- license")] == ["- license: by"]
    assert len([line for line in lines if line.startswith("- author")]) == 1
    assert len([line for line in lines if line.startswith("#")]) == 2
    assert not any("<script>" in line.replace("\\<", "") for line in lines)
