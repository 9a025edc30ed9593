"""A model server with a script: OpenAI's Chat Completions and Responses, as they are on the wire, plain and streamed.

A test says turn by turn what the model answers, and sees what the client sent. Whatever a real server would refuse (tools that
were not offered, calls that were not answered, an unknown path, no key) fails the test; so does anything that is sent to
another host, because clients are told that this server is their proxy. This file must not know what is tested.
"""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "not-a-real-key"
NAME = "scripted-1"
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
USAGE_OF_RESPONSE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 2,
}


@dataclass(frozen=True)
class Asked:
    """One request to the model."""

    #: The schema of each tool's parameters; ``None`` for one that takes plain text.
    tools: dict[str, dict | None]
    #: What the calls of the turn before gave, in the order of those calls.
    results: list[str]
    #: Everything that is said in it, as text.
    text: str
    streamed: bool
    body: dict = field(repr=False)


@dataclass(frozen=True)
class Say:
    """The model answers with text."""

    text: str


@dataclass(frozen=True)
class Call:
    """The model wants a tool called: with arguments by name, or with a text for a tool that takes one."""

    tool: str
    arguments: dict | str


Turn = Callable[[Asked], Say | list[Call]]


def call(tool, **arguments):
    """A turn that calls one tool."""
    return lambda _: [Call(tool, arguments)]


def report(asked):
    """A last turn that says what the calls before gave, as a model would."""
    return Say("It said: " + " ".join(asked.results).strip())


class Model:
    """A server for one script. Leave its ``with`` block, and it has held the client to all of it.

    Without a ``key`` clients need none. A ``wild`` model calls tools as it was not told to.
    """

    def __init__(self, *script: Turn, key: str | None = KEY, wild: bool = False) -> None:
        self.key = key
        self._wild = wild
        self._script = list(script)
        self._lock = threading.Lock()
        self._calls: list[tuple[str, Call]] = []
        self._made = 0
        #: Every request so far.
        self.asked: list[Asked] = []
        self.failures: list[str] = []
        handler = type("Handler", (_Handler,), {"model": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.host = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.host}/v1"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        # A client that was refused fails as well, but does not say as well why.
        if self.failures:
            raise AssertionError("the model server refused: " + "; ".join(self.failures))
        if kind is None and self._script:
            raise AssertionError(f"{len(self._script)} turns of the script were never asked for")

    def surroundings(self) -> dict[str, str]:
        """Environment variables for a program whose model this is, and which reaches nothing but this host."""
        return {
            "OPENAI_BASE_URL": self.url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_MODEL": NAME,
            **{name: self.host for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")},
            **{name: "127.0.0.1,localhost" for name in ("NO_PROXY", "no_proxy")},
            # Programs of these makers would tell them of each run.
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
            "LANGSMITH_TRACING": "false",
            "HF_HUB_OFFLINE": "1",
        }

    def take(self, path: str, body: dict) -> tuple[Asked, "Say | list[tuple[str, Call]]"]:
        """A request and the answer to it. Raises AssertionError for what a server would refuse."""
        with self._lock:
            check(body.get("model") == NAME, f"the model is {body.get('model')!r}")
            asked = READERS[path](body, self._calls)
            self.asked.append(asked)
            check(self._script, f"a turn that is not in the script, after {asked.results}")
            answer = self._script.pop(0)(asked)
            if isinstance(answer, Say):
                self._calls = []
                return asked, answer
            for one in () if self._wild else answer:
                check_call(asked, one)
            self._calls = [(self.id("call"), one) for one in answer]
            return asked, self._calls

    def id(self, kind: str) -> str:
        """An id that was not given before."""
        self._made += 1
        return f"{kind}_{self._made:08}"


def check(condition, complaint):
    if not condition:
        raise AssertionError(complaint)


def check_call(asked: Asked, call: Call) -> None:
    """That a script calls what the client offered, as the client said it is called."""
    check(call.tool in asked.tools, f"no tool {call.tool}, only {sorted(asked.tools)}")
    schema = asked.tools[call.tool]
    if schema is None:
        check(isinstance(call.arguments, str), f"{call.tool} takes text")
        return
    check(schema.get("type") == "object", f"{call.tool} has no parameters: {schema}")
    known = schema.get("properties", {})
    for name in call.arguments:
        check(name in known, f"{call.tool} has no parameter {name}, only {sorted(known)}")
    for name in schema.get("required", ()):
        check(name in call.arguments, f"{call.tool} needs {name}")


def text_of(content) -> str:
    """A content that is a text, or parts with texts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.get("text", "") for part in content)


def in_order(given: dict[str, str], calls: list[tuple[str, Call]]) -> list[str]:
    """The results of the calls of the turn before, each of which has one."""
    missing = [one.tool for call_id, one in calls if call_id not in given]
    check(not missing, f"no result for a call of {missing}")
    return [given[call_id] for call_id, _ in calls]


# Chat Completions


def read_chat(body: dict, calls: list[tuple[str, Call]]) -> Asked:
    given, offered, open_calls = {}, {}, set()
    for message in body["messages"]:
        role = message["role"]
        check(role in ("system", "developer", "user", "assistant", "tool"), f"a message of {role!r}")
        if role == "tool":
            check(message["tool_call_id"] in open_calls, "a result of a call that was not made")
            open_calls.discard(message["tool_call_id"])
            given[message["tool_call_id"]] = text_of(message["content"])
        else:
            check(not open_calls, f"calls without a result before a message of {role!r}")
            open_calls = {call["id"] for call in message.get("tool_calls") or ()}
    check(not open_calls, "calls without a result")
    for tool in body.get("tools") or ():
        check(tool["type"] == "function", f"a tool of type {tool['type']}")
        check(tool["function"].get("description"), f"{tool['function']['name']} has no description")
        offered[tool["function"]["name"]] = tool["function"]["parameters"]
    said = "\n".join(text_of(message.get("content")) for message in body["messages"])
    return Asked(offered, in_order(given, calls), said, bool(body.get("stream")), body)


def chat_calls(answer, *, indexed: bool) -> list[dict]:
    return [
        {
            "id": call_id,
            "type": "function",
            "function": {"name": one.tool, "arguments": json.dumps(one.arguments)},
            **({"index": index} if indexed else {}),
        }
        for index, (call_id, one) in enumerate(answer)
    ]


def chat_answer(model: Model, asked: Asked, answer) -> dict:
    says = isinstance(answer, Say)
    message = {"role": "assistant", "content": answer.text if says else None, "refusal": None}
    if not says:
        message["tool_calls"] = chat_calls(answer, indexed=False)
    return {
        "id": model.id("chatcmpl"),
        "object": "chat.completion",
        "created": 1,
        "model": NAME,
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop" if says else "tool_calls"}
        ],
        "usage": USAGE,
    }


def chat_stream(model: Model, asked: Asked, answer):
    common = {"id": model.id("chatcmpl"), "object": "chat.completion.chunk", "created": 1, "model": NAME}

    def chunk(delta, finish=None):
        return None, {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": ""})
    if isinstance(answer, Say):
        for piece in pieces(answer.text):
            yield chunk({"content": piece})
    else:
        for whole in chat_calls(answer, indexed=True):
            arguments = whole["function"]["arguments"]
            yield chunk({"tool_calls": [{**whole, "function": {**whole["function"], "arguments": ""}}]})
            for piece in pieces(arguments):
                yield chunk({"tool_calls": [{"index": whole["index"], "function": {"arguments": piece}}]})
    yield chunk({}, "stop" if isinstance(answer, Say) else "tool_calls")
    if (asked.body.get("stream_options") or {}).get("include_usage"):
        yield None, {**common, "choices": [], "usage": USAGE}
    yield None, "[DONE]"


def pieces(text: str) -> list[str]:
    """A text in parts, as streams have it."""
    return [text[at : at + 7] for at in range(0, len(text), 7)]


# Responses


def read_responses(body: dict, calls: list[tuple[str, Call]]) -> Asked:
    given, offered, made, said = {}, {}, set(), []
    if body.get("previous_response_id"):
        made = {call_id for call_id, _ in calls}
    items = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
    for item in items:
        kind = item.get("type", "message")
        if kind in ("function_call", "custom_tool_call"):
            made.add(item["call_id"])
        elif kind in ("function_call_output", "custom_tool_call_output"):
            check(item["call_id"] in made, "a result of a call that was not made")
            given[item["call_id"]] = text_of(item["output"])
        else:
            check(kind == "message", f"an input of type {kind}")
            said.append(text_of(item["content"]))
    check(made <= given.keys(), "calls without a result")
    for tool in body.get("tools") or ():
        check(tool["type"] in ("function", "custom"), f"a tool of type {tool['type']}")
        check(tool.get("description"), f"{tool['name']} has no description")
        offered[tool["name"]] = tool["parameters"] if tool["type"] == "function" else None
    said = [body.get("instructions") or "", *said, *given.values()]
    return Asked(offered, in_order(given, calls), "\n".join(said), bool(body.get("stream")), body)


def response_items(model: Model, answer) -> list[dict]:
    if isinstance(answer, Say):
        content = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        return [
            {"type": "message", "id": model.id("msg"), "role": "assistant", "status": "completed", "content": [content]}
        ]
    return [response_call(model, call_id, one) for call_id, one in answer]


def response_call(model: Model, call_id: str, one: Call) -> dict:
    common = {"call_id": call_id, "name": one.tool, "status": "completed"}
    if isinstance(one.arguments, str):
        return {"type": "custom_tool_call", "id": model.id("ctc"), "input": one.arguments, **common}
    return {"type": "function_call", "id": model.id("fc"), "arguments": json.dumps(one.arguments), **common}


def responses_answer(model: Model, asked: Asked, answer) -> dict:
    return {
        "id": model.id("resp"),
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": asked.body.get("instructions"),
        "metadata": {},
        "model": NAME,
        "output": response_items(model, answer),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": asked.body.get("tools") or [],
        "top_p": 1.0,
        "usage": USAGE_OF_RESPONSE,
    }


def responses_stream(model: Model, asked: Asked, answer):
    whole = responses_answer(model, asked, answer)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events = [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]
    for index, item in enumerate(whole["output"]):
        events += item_events(index, item)
    events.append({"type": "response.completed", "response": whole})
    for number, event in enumerate(events):
        yield event["type"], {**event, "sequence_number": number}


def item_events(index: int, item: dict) -> list[dict]:
    at = {"output_index": index, "item_id": item["id"]}
    if item["type"] == "message":
        empty, (part,) = {**item, "status": "in_progress", "content": []}, item["content"]
        at_part, text = {**at, "content_index": 0}, {"logprobs": []}
        inner = [
            {"type": "response.content_part.added", "part": {**part, "text": ""}, **at_part},
            *(
                {"type": "response.output_text.delta", "delta": piece, **text, **at_part}
                for piece in pieces(part["text"])
            ),
            {"type": "response.output_text.done", "text": part["text"], **text, **at_part},
            {"type": "response.content_part.done", "part": part, **at_part},
        ]
    else:
        name, key = (
            ("function_call_arguments", "arguments")
            if item["type"] == "function_call"
            else ("custom_tool_call_input", "input")
        )
        empty = {**item, "status": "in_progress", key: ""}
        inner = [
            *({"type": f"response.{name}.delta", "delta": piece, **at} for piece in pieces(item[key])),
            {"type": f"response.{name}.done", key: item[key], "name": item["name"], **at},
        ]
    return [
        {"type": "response.output_item.added", "output_index": index, "item": empty},
        *inner,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


READERS = {"/v1/chat/completions": read_chat, "/v1/responses": read_responses}
ANSWERS = {"/v1/chat/completions": chat_answer, "/v1/responses": responses_answer}
STREAMS = {"/v1/chat/completions": chat_stream, "/v1/responses": responses_stream}


class _Handler(BaseHTTPRequestHandler):
    model: Model
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Nobody reads it."""

    def do_POST(self):
        try:
            check(self.path in READERS, f"nothing is at {self.path}")
            expected = self.model.key and f"Bearer {self.model.key}"
            check(self.headers["Authorization"] == expected, "the key is not the one that was given")
            check(self.headers["Content-Type"].startswith("application/json"), "the body is not said to be JSON")
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked, answer = self.model.take(self.path, body)
        except Exception as error:  # noqa: BLE001  A script's own mistakes fail the test, too.
            self.refuse(f"{type(error).__name__}: {error}")
            return
        if asked.streamed:
            self.stream(STREAMS[self.path](self.model, asked, answer))
        else:
            self.send(200, "application/json", json.dumps(ANSWERS[self.path](self.model, asked, answer)))

    def elsewhere(self):
        self.refuse(f"{self.command} of {self.path}, which is not this server")

    do_GET = do_HEAD = do_PUT = do_DELETE = do_CONNECT = elsewhere

    def refuse(self, why):
        self.model.failures.append(why)
        error = {"error": {"message": why, "type": "invalid_request_error", "param": None, "code": None}}
        self.close_connection = True
        self.send(400, "application/json", json.dumps(error))

    def send(self, status, kind, text):
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stream(self, events):
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for name, data in events:
            text = data if isinstance(data, str) else json.dumps(data)
            self.wfile.write(f"event: {name}\ndata: {text}\n\n".encode() if name else f"data: {text}\n\n".encode())
            self.wfile.flush()


def without_keys() -> dict[str, str]:
    """This process's environment without what programs of other makers would take from it."""
    makers = ("OPENAI_", "ANTHROPIC_", "LANGSMITH_", "LANGCHAIN_", "HF_", "GOOGLE_", "GEMINI_")
    return {name: value for name, value in os.environ.items() if not name.startswith(makers)}
