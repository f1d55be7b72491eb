# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversations of every kind that a chat template may be asked for, as arguments of apply_chat_template."""

import json

AWKWARD = "a <b> & \"c\" 'd' \\e\tf\u00e9\u2028\U0001f600 </think> {{ g }}"

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Current weather of a place",
    "parameters": {"type": "object", "properties": {
        "location": {"type": "string", "description": "City & country, e.g. \"Bern, CH\""},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
        "days": {"type": ["integer", "null"], "minimum": 1},
        "scale": {"type": "number", "default": 1.5}}, "required": ["location"]},
    "strict": True}}
SEARCH = {"type": "function", "function": {
    "name": "search", "description": "Searches\nwith two lines",
    "parameters": {"type": "object", "properties": {
        "queries": {"type": "array", "items": {"type": "string"}, "description": "what to look for"},
        "filter": {"type": "object", "properties": {
            "site": {"type": "string"}, "safe": {"type": "boolean", "default": True},
            "tags": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}}},
        "kind": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}},
    "return": {"type": "string", "description": "hits"}}}
BARE = {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {
    "type": "object", "properties": {}}}}
TOOLS = [WEATHER, SEARCH, BARE]


def user(text="How are you?"):
    return {"role": "user", "content": text}


def assistant(text="Fine.", **fields):
    return {"role": "assistant", "content": text, **fields}


def system(text="You are terse."):
    return {"role": "system", "content": text}


def call(name="get_weather", arguments=None, index=0, text=False):
    arguments = {"location": "Bern, CH", "days": 3} if arguments is None else arguments
    return {"id": f"call_{index:05d}", "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments) if text else arguments}}


def tool(content="{\"temperature\": 21.5}", index=0, name="get_weather"):
    return {"role": "tool", "name": name, "tool_call_id": f"call_{index:05d}", "content": content}


ODD = {"text": AWKWARD, "none": None, "yes": True, "number": -1.25, "small": 1e-7, "list": [1, "two", [3.0]],
       "nested": {"empty": {}, "none": [], "deep": {"k": "v"}}}


def conversations() -> dict[str, list]:
    after_call = [user("Weather?"), assistant("", tool_calls=[call()]), tool()]
    return {
        "question": [user()],
        "awkward": [user(AWKWARD)],
        "empty question": [user("")],
        "blank": [user("  \n x \n")],
        "system": [system(), user()],
        "empty system": [system(""), user()],
        "developer": [{"role": "developer", "content": "Be kind."}, user()],
        "turns": [user("One"), assistant(), user("Two"), assistant("Good."), user("Three")],
        "system turns": [system(), user("One"), assistant(), user("Two")],
        "ends with assistant": [user("One"), assistant("Two")],
        "two users": [user("One"), user("Two")],
        "starts with assistant": [assistant("Hello."), user("Two")],
        "late system": [user("One"), assistant(), system("Be brief."), user("Two")],
        "unknown role": [user(), {"role": "critic", "content": "x"}],
        "thoughts in text": [user("One"), assistant("<think>\nwhy\n</think>\n\nTwo"), user("Three")],
        "thoughts": [user("One"), assistant("Two", reasoning_content="why\nnot"), user("Three")],
        "thoughts at the end": [user("One"), assistant("Two", reasoning_content="why")],
        "thinking": [user("One"), assistant("Two", thinking="why"), user("Three")],
        "parts": [user([{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}])],
        "parts of all": [system([{"type": "text", "text": "S"}]), user([{"type": "text", "text": "One"}]),
                         assistant([{"type": "text", "text": "Two"}]), user([{"type": "text", "text": "Three"}])],
        "image": [user([{"type": "image"}, {"type": "text", "text": "What is it?"}])],
        "call": after_call,
        "call and answer": [*after_call, assistant("It is warm."), user("Thanks")],
        "call with system": [system(), *after_call],
        "call with text arguments": [user("Weather?"), assistant("", tool_calls=[call(text=True)]), tool()],
        "call without content": [user("Weather?"), {"role": "assistant", "tool_calls": [call()]}, tool()],
        "call with null": [user("Weather?"), assistant(None, tool_calls=[call()]), tool(), assistant("So."), user()],
        "call with words": [user("Weather?"), assistant("Let me see.", tool_calls=[call()]), tool()],
        "call with thoughts": [user("W?"), assistant("", reasoning_content="ask", tool_calls=[call()]), tool()],
        "call with thoughts later": [user("W?"), assistant("Let me.", reasoning_content="ask", tool_calls=[call()]),
                                     tool(), assistant("Warm.", reasoning_content="told"), user("And now?")],
        "two calls": [user("Weather?"), assistant("", tool_calls=[call(), call("search", {"queries": ["a", "b"]}, 1)]),
                      tool(), tool("none", 1, "search"), assistant("Nothing."), user("Ok")],
        "odd call": [user("Go"), assistant("", tool_calls=[call("search", ODD)]), tool(AWKWARD)],
        "call without arguments": [user("Time?"), assistant("", tool_calls=[call("now", {})]), tool("12", 0, "now")],
        "flat call": [user("Go"), assistant("", tool_calls=[{"name": "now", "arguments": {"a": "b", "c": 1}}]), tool()],
        "object result": [user("Weather?"), assistant("", tool_calls=[call()]), tool({"temperature": 21.5, "w": [1]})],
        "result in parts": [user("Weather?"), assistant("", tool_calls=[call()]),
                            tool([{"type": "text", "text": "21"}, {"type": "text", "text": "C"}])],
        "calls in turns": [user("Weather?"), assistant("", tool_calls=[call()]), tool(),
                           assistant("", tool_calls=[call("now", {}, 1)]), tool("12", 1, "now")],
        "empty calls": [user("One"), assistant("Two", tool_calls=[]), user("Three")],
    }


SWITCHES = [{}, {"enable_thinking": False}, {"enable_thinking": True}, {"thinking": True}, {"thinking": False},
            {"reasoning_effort": "low"}, {"reasoning_effort": "high"}, {"reasoning_effort": "none"},
            {"preserve_thinking": True}, {"clear_thinking": False}, {"keep_past_thinking": True},
            {"thinking_mode": "on"}, {"thinking_budget": 512}, {"builtin_tools": ["browser", "python"]},
            {"model_identity": "You are X."}, {"documents": [{"title": "T", "text": "words", "doc_id": 1}]},
            {"controls": {"length": "long"}}, {"date_string": "01 Jan 2026"}, {"add_generation_prompt": False}]


def requests() -> dict[str, dict]:
    """By a name that says what is in it."""
    result = {}
    for name, messages in conversations().items():
        result[name] = {"messages": messages}
        result[f"{name}, tools"] = {"messages": messages, "tools": TOOLS}
        result[f"{name}, no prompt"] = {"messages": messages, "add_generation_prompt": False}
    for switch in SWITCHES:
        for name in ("system turns", "thoughts", "call with thoughts later"):
            for tools in ([], [TOOLS]):
                label = f"{name}{', tools' if tools else ''}, {json.dumps(switch)}"
                result[label] = {"messages": conversations()[name], **switch} | {"tools": t for t in tools}
    one_tool = {"messages": conversations()["call"], "tools": [BARE]}
    return result | {"one tool": one_tool, "no tools": one_tool | {"tools": []},
                     "flat tools": one_tool | {"tools": [WEATHER["function"]]}}
