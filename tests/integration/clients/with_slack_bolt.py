"""An unmodified slack_bolt app behind Bolt's WSGI adapter, on a free port of loopback.

The first argument is where Slack's API is. It says its port on standard output when it serves.
"""

import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

from slack_bolt import App
from slack_bolt.adapter.wsgi import SlackRequestHandler
from slack_sdk import WebClient

client = WebClient("xoxb-1111-2222-abc", base_url=f"{sys.argv[1]}/api/")
app = App(client=client, signing_secret="s3cret")


@app.command("/ask")
def ask(ack, respond, command):
    ack()
    respond(f"{command['text']} Only for you.")
    respond(f"{command['text']} For all.", response_type="in_channel")


@app.command("/quick")
def quick(ack):
    ack("At once.")


@app.command("/order")
def order(ack, body, client):
    ack()
    view = {"type": "modal", "callback_id": "order", "title": {"type": "plain_text", "text": "O"}}
    client.views_open(trigger_id=body["trigger_id"], view={**view, "blocks": []})


@app.view("order")
def ordered(ack, view, body, client):
    ack()
    name = view["state"]["values"]["name"]["input"]["value"]
    direct = client.conversations_open(users=body["user"]["id"])["channel"]["id"]
    client.chat_postMessage(channel=direct, text=f"Thanks, {name}.")


@app.action("yes")
def yes(ack, respond):
    ack()
    respond("Done.", replace_original=True)


@app.event("message")
def message(event, body, client):
    where = {"channel": event["channel"], "thread_ts": event["ts"]}
    client.assistant_threads_setStatus(
        channel_id=event["channel"], thread_ts=event["ts"], status="is thinking…"
    )
    stream = client.chat_stream(
        **where, recipient_team_id=body["team_id"], recipient_user_id=event["user"], buffer_size=1
    )
    for word in ("You ", "said ", event["text"]):
        stream.append(markdown_text=word)
    stream.stop()


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        """Nothing."""


with make_server("127.0.0.1", 0, SlackRequestHandler(app), handler_class=Quiet) as server:
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
