"""Documents as PDF. The same document is always the same bytes."""

import logging
from pathlib import Path

from fpdf import FPDF, FontFace

from gateway.pages.documents import Document

FONTS = Path(__file__).parents[1] / "fonts"
LEFT, WIDTH, HALF = 20, 170, 80  # millimetres
QUIET = (89, 97, 121)

for _library in ("fpdf", "fontTools"):  # they would log which characters a customer's name has
    logging.getLogger(_library).setLevel(logging.ERROR)


def pdf(of: Document) -> bytes:
    sheet = _Sheet(of)
    sheet.add_page()
    _head(sheet, of)
    _parties(sheet, of)
    _rows(sheet, of)
    _sums(sheet, of)
    return bytes(sheet.output())


class _Sheet(FPDF):
    def __init__(self, of: Document) -> None:
        super().__init__(format="A4")
        self._foot = of.footer
        self.set_margins(LEFT, 18, LEFT)
        self.set_auto_page_break(auto=True, margin=26)
        self.add_font("text", "", FONTS / "DejaVuSans.ttf")
        self.add_font("text", "B", FONTS / "DejaVuSans-Bold.ttf")
        self.set_creation_date(of.issued)
        self.set_title(f"{of.title} {of.number}")
        self.set_lang("en")
        self.set_font("text", size=9.5)

    def footer(self) -> None:
        self.set_y(-20)
        self.set_font("text", size=7.5)
        self.set_text_color(*QUIET)
        self.multi_cell(WIDTH - 20, 3.6, self._foot[:300], align="L", new_x="RIGHT", new_y="TOP")
        self.cell(20, 3.6, str(self.page_no()), align="R")
        self.set_text_color(0)


def _head(sheet: FPDF, of: Document) -> None:
    sheet.set_font(style="B", size=20)
    sheet.cell(WIDTH, 12, of.title, new_x="LMARGIN", new_y="NEXT")
    sheet.set_font(style="", size=9.5)
    for label, value in of.facts:
        sheet.set_text_color(*QUIET)
        sheet.cell(28, 5.5, label)
        sheet.set_text_color(0)
        sheet.cell(0, 5.5, value, new_x="LMARGIN", new_y="NEXT")
    sheet.ln(6)


def _parties(sheet: FPDF, of: Document) -> None:
    top, ends = sheet.get_y(), []
    for place, (label, lines) in enumerate((("From", of.seller), ("To", of.buyer))):
        sheet.set_xy(LEFT + place * (HALF + 10), top)
        sheet.set_text_color(*QUIET)
        sheet.cell(HALF, 5.5, label, new_x="LEFT", new_y="NEXT")
        sheet.set_text_color(0)
        sheet.multi_cell(HALF, 5, "\n".join(lines), align="L")
        ends.append(sheet.get_y())
    sheet.set_xy(LEFT, max(ends) + 8)


def _rows(sheet: FPDF, of: Document) -> None:
    heading = FontFace(emphasis="BOLD", color=QUIET)
    with sheet.table(
        width=WIDTH,
        col_widths=(76, 30, 34, 30),
        text_align=("LEFT", "RIGHT", "RIGHT", "RIGHT"),
        borders_layout="HORIZONTAL_LINES",
        headings_style=heading,
        line_height=5.5,
        padding=(1.2, 0.5),
    ) as table:
        table.row(("For", "Net", "Tax", "Total"))
        for row in of.rows:
            table.row(("\n".join((row.text, *row.more)), row.net, row.tax, row.total))
    sheet.ln(5)


def _sums(sheet: FPDF, of: Document) -> None:
    for place, (label, amount) in enumerate(of.sums, 1):
        sheet.set_font(style="B" if place == len(of.sums) else "")
        sheet.cell(WIDTH - 40, 6, label, align="R")
        sheet.cell(40, 6, amount, align="R", new_x="LMARGIN", new_y="NEXT")
    sheet.set_font(style="")
    sheet.ln(6)
    for note in of.notes:
        sheet.multi_cell(WIDTH, 5, note, align="L", new_x="LMARGIN", new_y="NEXT")
