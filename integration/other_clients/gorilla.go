// SPDX-License-Identifier: Apache-2.0

// Go's gorilla/websocket: `gorilla URL [SUBPROTOCOL]`, with the output that with_python.py describes.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/gorilla/websocket"
)

// Where to go next, or nothing.
func listen(url string, protocols []string) string {
	dialer := websocket.Dialer{Subprotocols: protocols}
	connection, answer, err := dialer.Dial(url, nil)
	if err != nil {
		if answer != nil {
			fmt.Println("status", answer.StatusCode)
		} else {
			fmt.Println("failed", err)
		}
		return ""
	}
	defer connection.Close()
	for {
		_, text, err := connection.ReadMessage()
		if err != nil {
			fmt.Println("closed", err)
			return ""
		}
		fmt.Println("text", string(text))
		var event struct{ Type, URL string }
		if json.Unmarshal(text, &event) == nil && event.Type == "moved" {
			return event.URL
		}
	}
}

func main() {
	for url := os.Args[1]; url != ""; {
		url = listen(url, os.Args[2:])
	}
}
