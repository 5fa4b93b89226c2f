"""Four streams at the same time over one asynchronous client."""

import asyncio

from openai import AsyncOpenAI


async def tell(client: AsyncOpenAI, animal: str) -> str:
    """What the server says of one story about ``animal``."""
    stream = await client.chat.completions.create(
        model="smollm2-135m-instruct",
        messages=[{"role": "user", "content": f"Tell a story about a {animal}."}],
        max_tokens=48,
        stream=True,
        stream_options={"include_usage": True},
    )
    async for chunk in stream:
        last = chunk
    return last.model_dump_json(include={"id", "usage", "timings"}, exclude_none=True)


async def main() -> None:
    """Ask for all four, then wait for all of them."""
    async with AsyncOpenAI() as client:
        for said in await asyncio.gather(*(tell(client, animal) for animal in ("fox", "owl", "whale", "bee"))):
            print("server:", said)


asyncio.run(main())
