#!/bin/sh
# Writes what compose.yaml needs and no repository may hold: deploy/.env with random passwords, and
# deploy/tls with a certificate for localhost that is valid for a year. What is there already stays.
set -eu
cd "$(dirname "$0")"
umask 077

random() {
	openssl rand -hex 24
}

if [ ! -e .env ]; then
	printf 'POSTGRES_PASSWORD=%s\nGRAFANA_PASSWORD=%s\n' "$(random)" "$(random)" >.env
fi
if [ ! -e tls/certificate.pem ]; then
	mkdir -p tls
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
		-subj /CN=localhost -addext "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1" \
		-keyout tls/key.pem -out tls/certificate.pem 2>/dev/null
fi
