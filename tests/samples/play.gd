# Godot 3: plays one turn with dm_turn.gd over two connections; the second resumes. Prints what it heard.
extends SceneTree

var turn = load("res://dm_turn.gd").new()
var socket = WebSocketClient.new()
var parts = 0
var breaks = 1
var asked = {}


func _init():
	turn.connect("narrated", self, "_narrated")
	turn.connect("ended", self, "_ended")
	asked = turn.begin(OS.get_environment("CHARACTER"), "I look around.", "of-godot")
	_open()


func _open():
	socket = WebSocketClient.new()
	socket.connect("connection_established", self, "_opened")
	socket.connect("data_received", self, "_heard")
	socket.connect_to_url(OS.get_environment("ADDRESS"))


func _opened(_protocol):
	socket.get_peer(1).set_write_mode(WebSocketPeer.WRITE_MODE_TEXT)
	var message = asked if turn.turn_id == "" else turn.resumption()
	socket.get_peer(1).put_packet(JSON.print(message).to_utf8())


func _heard():
	var event = JSON.parse(socket.get_peer(1).get_packet().get_string_from_utf8()).result
	turn.hear(event)
	if breaks > 0 and parts > 0:
		breaks -= 1
		socket.disconnect_from_host()
		call_deferred("_open")


func _narrated(_text):
	parts += 1


func _ended(how, message):
	print("ENDED ", JSON.print({"how": how, "message": message, "narrative": turn.narrative,
		"turn_id": turn.turn_id, "breaks": breaks, "seen": turn.seen}))
	quit()


func _idle(_delta):
	socket.poll()
	return false
