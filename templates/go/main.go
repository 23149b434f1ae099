// A small API on the standard library. Save, and as soon as it is built, calls are answered by what you saved.
package main

import (
	"encoding/json"
	"errors"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"sort"
	"time"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8000"
	}
	server := &http.Server{
		Addr:              net.JoinHostPort(os.Getenv("HOST"), port),
		Handler:           routes(),
		ReadHeaderTimeout: 5 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", welcome)
	mux.HandleFunc("/health", health)
	mux.HandleFunc("/stats", stats)
	return mux
}

func welcome(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		answer(w, http.StatusNotFound, map[string]string{"error": "There is nothing at " + r.URL.Path})
		return
	}
	answer(w, http.StatusOK, map[string]string{
		"message": "Hello from {{name}}! Change this line in main.go, save, and call again.",
		"try":     "POST [1, 2, 3.5] to stats",
	})
}

func health(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

func stats(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, http.StatusMethodNotAllowed, map[string]string{"error": "POST a list of numbers"})
		return
	}
	var numbers []float64
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&numbers); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": "The body is no list of numbers: " + err.Error()})
		return
	}
	summary, err := Summarize(numbers)
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	answer(w, http.StatusOK, summary)
}

// Summary says where numbers lie.
type Summary struct {
	Count  int     `json:"count"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Mean   float64 `json:"mean"`
	Median float64 `json:"median"`
	StdDev float64 `json:"std_dev"`
}

// Summarize leaves its argument as it is.
func Summarize(numbers []float64) (Summary, error) {
	if len(numbers) == 0 {
		return Summary{}, errors.New("an empty list has no statistics")
	}
	sorted := append([]float64(nil), numbers...)
	sort.Float64s(sorted)
	count := len(sorted)
	var sum, squares float64
	for _, number := range sorted {
		sum += number
	}
	mean := sum / float64(count)
	for _, number := range sorted {
		squares += (number - mean) * (number - mean)
	}
	return Summary{
		Count:  count,
		Min:    sorted[0],
		Max:    sorted[count-1],
		Mean:   mean,
		Median: (sorted[(count-1)/2] + sorted[count/2]) / 2,
		StdDev: math.Sqrt(squares / float64(count)),
	}, nil
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}
