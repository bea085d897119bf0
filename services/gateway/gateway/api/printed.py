"""The answer that is a document as PDF. Printing takes a fifth of a second of computing: one thread does it, one after
another, so that it keeps no other request waiting for long."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from fastapi import Response

from gateway.pages.documents import Document

_PRINTER = ThreadPoolExecutor(1, thread_name_prefix="printer")


async def printed(of: Document) -> Response:
    content = await asyncio.get_running_loop().run_in_executor(_PRINTER, _pdf, of)
    headers = {
        "Content-Disposition": f'inline; filename="{of.number}.pdf"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    return Response(content, media_type="application/pdf", headers=headers)


def _pdf(of: Document) -> bytes:
    from gateway.pages.printing import pdf  # noqa: PLC0415 - 17 MB of libraries, with the first document and not before

    return pdf(of)
