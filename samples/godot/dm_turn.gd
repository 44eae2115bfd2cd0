# One turn, built from its events. Knows nothing of sockets: runs in Godot 3 and 4 alike.
extends Node

signal narrated(text) # more of the story
signal changed(subsystem, action, success) # something was written down
signal offered(options) # what the player might do, at a table
signal ended(how, message) # complete, error or cancelled

var turn_id := ""
var narrative := ""
var phase := ""
var running := false
var seen := 0 # how many events of the turn there were: where a broken connection goes on


func begin(character_id: String, action: String, key: String) -> Dictionary:
	turn_id = ""
	narrative = ""
	phase = ""
	seen = 0
	running = true
	return {"character_id": character_id, "user_action": action, "idempotency_key": key}


# What to send on a new connection while the turn runs. Without an id yet, `begin` is sent again.
func resumption() -> Dictionary:
	return {"type": "resume", "turn_id": turn_id, "after": seen}


func hear(event: Dictionary) -> void:
	var kind: String = event.get("type", "")
	if kind == "ping" or kind == "pong":
		return
	if kind == "error" and event.get("phase") == "request":
		_end("error", event.get("message", "")) # refused: the turn never was
		return
	seen += 1
	match kind:
		"metadata":
			_enter(event)
		"token":
			if event.get("field", "narrative") == "narrative":
				narrative += event.get("content", "")
			emit_signal("narrated", event.get("content", ""))
		"write":
			emit_signal("changed", event.get("subsystem"), event.get("action"), event.get("success"))
		"player_options":
			emit_signal("offered", event.get("player_options", []))
		"complete", "cancelled":
			_end(kind, "")
		"error":
			_end(kind, event.get("message", ""))


func _enter(event: Dictionary) -> void:
	phase = event.get("phase", "")
	if phase == "start":
		turn_id = event.get("turn_id", "")
	if phase == "retelling":
		narrative = ""


func _end(how: String, message: String) -> void:
	running = false
	emit_signal("ended", how, message)
