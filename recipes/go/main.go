// The echo server in a Go program: one goroutine, locked to its thread, waits for the service in poll(2), and is where handlers are
// called. Other goroutines reach it by its poster, which ends the wait.
package main

// #include "glue.h"
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

// Called by C with a message of a WebSocket, on the thread that serves. What is returned is sent back.
//
//export goMessage
func goMessage(bytes *C.uint8_t, size C.size_t, text C.int) (reply unsafe.Pointer, replySize C.size_t) {
	message := C.GoBytes(unsafe.Pointer(bytes), C.int(size))
	messages.Add(1)
	// C frees it: memory of Go is not kept by C.
	return C.CBytes(message), C.size_t(len(message))
}

var messages, ticks atomic.Int64

// What is published to the topic is sent to all of its subscribers. From any goroutine, until the service is freed.
func publish(poster *C.lwx_poster, topic, text string) {
	cTopic, cText := C.CString(topic), C.CString(text)
	defer C.free(unsafe.Pointer(cTopic))
	defer C.free(unsafe.Pointer(cText))
	C.lwx_poster_publish(poster, cTopic, unsafe.Pointer(cText), C.size_t(len(text)), C.LWX_TEXT)
}

// Serves until the service has ended.
func serve(address string, started chan<- *C.lwx_poster, done chan<- struct{}) {
	// A service belongs to the thread that makes it.
	runtime.LockOSThread()
	defer close(done)
	cAddress := C.CString(address)
	defer C.free(unsafe.Pointer(cAddress))
	service := C.recipe_open(cAddress)
	var poster *C.lwx_poster
	C.lwx_poster_new(service, &poster)
	started <- poster
	for C.lwx_service_dispatch(service) > 0 {
		wait := C.struct_pollfd{fd: C.int(C.lwx_service_fd(service)), events: C.POLLIN}
		C.poll(&wait, 1, C.int(C.lwx_service_timeout_ms(service)))
	}
	C.lwx_service_free(service)
}

func main() {
	address := "127.0.0.1:7681"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	started, done := make(chan *C.lwx_poster), make(chan struct{})
	go serve(address, started, done)
	poster := <-started
	tick, news := time.NewTicker(10*time.Millisecond), time.NewTicker(50*time.Millisecond)
	for {
		select {
		case <-tick.C:
			ticks.Add(1)
		case <-news.C:
			publish(poster, "news", "news of another thread")
		case <-done:
			C.lwx_poster_free(poster)
			fmt.Println("ticks", ticks.Load())
			return
		}
	}
}
