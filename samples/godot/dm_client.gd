# A player of the Dungeon Master turn service, for Godot 4: add it as a node and call `play`.
#
#	var dm := preload("res://dm_client.gd").new()
#	add_child(dm)
#	dm.turn.narrated.connect(func(text): label.text += text)
#	dm.play(character_id, "I lift the latch.")
#
# A connection that breaks is opened again, and the turn goes on behind the last event that was heard.
extends Node

const Turn := preload("dm_turn.gd")
const PAUSE := 1.0 # seconds between two tries

@export var address := "ws://127.0.0.1:8080/turn/ws"
@export var token := "" # with AUTH_MODE=jwt

var turn := Turn.new()
var _socket := WebSocketPeer.new()
var _waiting := 0.0
var _asked := {}
var _greeted := false


func _ready() -> void:
	add_child(turn)


func play(character_id: String, action: String) -> void:
	var key := Crypto.new().generate_random_bytes(16).hex_encode()
	_asked = turn.begin(character_id, action, key)
	if _greeted:
		_send(_asked)


func cancel() -> void:
	_send({"type": "cancel"})


func _process(delta: float) -> void:
	_socket.poll()
	match _socket.get_ready_state():
		WebSocketPeer.STATE_OPEN:
			_greet()
			while _socket.get_available_packet_count() > 0:
				turn.hear(JSON.parse_string(_socket.get_packet().get_string_from_utf8()))
		WebSocketPeer.STATE_CLOSED:
			_greeted = false
			_waiting -= delta
			if turn.running and _waiting <= 0.0:
				_waiting = PAUSE
				_connect()


func _connect() -> void:
	_socket = WebSocketPeer.new()
	if token != "":
		_socket.supported_protocols = PackedStringArray(["bearer", token])
	_socket.connect_to_url(address)


func _greet() -> void:
	if _greeted:
		return
	_greeted = true
	if turn.running:
		_send(_asked if turn.turn_id == "" else turn.resumption())


func _send(message: Dictionary) -> void:
	if _socket.get_ready_state() == WebSocketPeer.STATE_OPEN:
		_socket.send_text(JSON.stringify(message))
