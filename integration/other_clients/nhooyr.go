// SPDX-License-Identifier: Apache-2.0

// Go's nhooyr.io/websocket: `nhooyr URL [SUBPROTOCOL]`, with the output that with_python.py describes.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"nhooyr.io/websocket"
)

// Where to go next, or nothing.
func listen(url string, protocols []string) string {
	ctx := context.Background()
	connection, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: protocols})
	if err != nil {
		if answer != nil {
			fmt.Println("status", answer.StatusCode)
		} else {
			fmt.Println("failed", err)
		}
		return ""
	}
	defer connection.Close(websocket.StatusNormalClosure, "")
	for {
		_, text, err := connection.Read(ctx)
		if err != nil {
			fmt.Println("closed", int(websocket.CloseStatus(err)))
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
